"""Google's error object: what a response with another status than 200 says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True)
class GoogleError:
    """The error of a response. ``is_googles`` False: the body holds none, so somebody else has answered."""

    is_googles: bool = False
    message: str = ""
    status: str = ""
    details: tuple[dict[str, Any], ...] = field(default=())

    @classmethod
    def of(cls, answer: bytes) -> GoogleError:
        """Read a body, whatever it is."""
        try:
            body = json.loads(answer)
            # streams and some gateways put it into a list
            error = (body[0] if isinstance(body, list) else body)["error"]
            is_googles = isinstance(error["code"], int) and isinstance(error["message"], str)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            return cls()
        details = error.get("details")
        kept = tuple(each for each in details if isinstance(each, dict)) if isinstance(details, list) else ()
        return cls(is_googles, str(error["message"]), str(error.get("status") or ""), kept)

    @property
    def is_dead_key(self) -> bool:
        """The key is invalid, expired or switched off; Google says so with status 400."""
        return any(each.get("reason") in {"API_KEY_INVALID", "API_KEY_EXPIRED"} for each in self.details)

    @property
    def is_used_up(self) -> bool:
        """A quota that no wait of minutes brings back: of the day, or what may be spent."""
        if "spending cap" in self.message.lower() or "spend limit" in self.message.lower():
            return True
        return any("PerDay" in str(each.get("quotaId", "")) for each in self._violations())

    def retry_after_s(self, headers: httpx.Headers) -> float | None:
        """Seconds from RetryInfo (``"27s"``), else from Retry-After. Returns None where neither says."""
        for detail in self.details:
            if str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
                seconds = _seconds(str(detail.get("retryDelay", "")).removesuffix("s"))
                if seconds is not None:
                    return seconds
        return _seconds(headers.get("Retry-After", ""))

    def _violations(self) -> Iterator[dict[str, Any]]:
        for detail in self.details:
            violations = detail.get("violations")
            if isinstance(violations, list):
                yield from (each for each in violations if isinstance(each, dict))


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
