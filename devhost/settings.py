"""What the host reads from its environment, ``local.settings.json`` and ``host.json``."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

# Json.NET, which the real host reads with, admits comments and a comma before a closing bracket
_STRING = r'("(?:[^"\\]|\\.)*")'
_COMMENT = re.compile(_STRING + r"|//[^\n]*|/\*.*?\*/", re.DOTALL)
_LAST_COMMA = re.compile(_STRING + r"|,(?=\s*[}\]])", re.DOTALL)
_SETTING = re.compile(r"%([^%]+)%")
_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})")
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with, not bound to


class SettingsError(Exception):
    """A setting that the app names is missing or malformed."""


@dataclass(frozen=True)
class HostSettings:
    """Settings of the host itself, and the app's settings for ``%NAME%``."""

    app_dir: Path
    state_dir: Path
    address: str
    port: int
    route_prefix: str
    max_activities: int
    max_orchestrators: int
    max_blobs: int
    poison_after: int
    blob_poll_s: float
    max_body_bytes: int
    max_outstanding_requests: int
    max_concurrent_requests: int
    threads: int
    function_timeout: timedelta | None
    faults_file: Path | None

    @property
    def base_url(self) -> str:
        """The host's address on this machine."""
        address = _WILDCARDS.get(self.address, self.address)
        return f"http://[{address}]:{self.port}" if ":" in address else f"http://{address}:{self.port}"


def load(app_dir: Path, state_dir: Path, address: str, port: int, faults_file: Path | None) -> HostSettings:
    """Read all three sources; ``Values`` of ``local.settings.json`` are put into the environment.

    Variables that are already set win, as with Core Tools. Raises ``SettingsError``.
    """
    for name, value in _section(_read_json(app_dir / "local.settings.json"), "Values").items():
        os.environ.setdefault(name, str(value))
    host = _read_json(app_dir / "host.json")
    extensions = _section(host, "extensions")
    durable, blobs = _section(extensions, "durableTask"), _section(extensions, "blobs")
    http = _section(extensions, "http")
    faults = faults_file or setting("HOST_FAULTS_FILE")
    return HostSettings(
        app_dir=app_dir,
        state_dir=state_dir,
        address=address,
        port=port,
        route_prefix=str(http.get("routePrefix", "api")).strip("/"),
        max_activities=_positive(durable, "maxConcurrentActivityFunctions", 10),
        max_orchestrators=_positive(durable, "maxConcurrentOrchestratorFunctions", 10),
        max_blobs=_positive(blobs, "maxDegreeOfParallelism", 8),
        poison_after=_positive(blobs, "poisonBlobThreshold", 5),
        blob_poll_s=_number("HOST_BLOB_POLL_S", 0.5),
        max_body_bytes=int(_number("HOST_MAX_BODY_BYTES", 100 * 1024 * 1024)),
        max_outstanding_requests=_positive(http, "maxOutstandingRequests", 200),
        max_concurrent_requests=_positive(http, "maxConcurrentRequests", 100),
        threads=int(_number("PYTHON_THREADPOOL_THREAD_COUNT", _worker_threads())),
        function_timeout=_timeout(str(host.get("functionTimeout", "00:30:00"))),
        faults_file=Path(faults).resolve() if faults else None,
    )


def _worker_threads() -> int:
    """The default of Microsoft's Python worker."""
    return min(32, (os.cpu_count() or 1) + 4)


def time_span(text: str) -> timedelta | None:
    """Parse ``[d.]hh:mm:ss``. Returns None if the text has another form."""
    span = _SPAN.fullmatch(text.strip())
    if span is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in span.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def setting(name: str) -> str | None:
    """Returns one app setting, None if it is missing or empty."""
    return os.environ.get(name) or None


def resolve(text: str) -> str:
    """Replace each ``%NAME%`` by the app setting. Raises ``SettingsError``."""

    def value(match: re.Match[str]) -> str:
        found = setting(match.group(1))
        if found is None:
            raise SettingsError(f"the app setting {match.group(1)} is missing (used as {match.group(0)})")
        return found

    return _SETTING.sub(value, text)


def _timeout(text: str) -> timedelta | None:
    if text == "-1":
        return None
    span = time_span(text)
    if not span:
        raise SettingsError(f"functionTimeout in host.json is not a time span: {text}")
    return span


def _positive(section: dict[str, Any], name: str, default: int) -> int:
    """A limit from host.json; -1, which means no limit there, gets the default here."""
    value = section.get(name, default)
    if value == -1:
        return default
    if not isinstance(value, int) or value < 1:
        raise SettingsError(f"{name} in host.json must be a positive whole number, not {value!r}")
    return value


def _number(name: str, default: float) -> float:
    text = setting(name)
    try:
        value = default if text is None else float(text)
    except ValueError as error:
        raise SettingsError(f"the setting {name} must be a number, not {text!r}") from error
    if not 0 < value < float("inf"):
        raise SettingsError(f"the setting {name} must be positive, not {text!r}")
    return value


def _section(content: dict[str, Any], name: str) -> dict[str, Any]:
    section = content.get(name, {})
    if not isinstance(section, dict):
        raise SettingsError(f"'{name}' must be a JSON object")
    return section


def _only_strings(match: re.Match[str]) -> str:
    return match.group(1) or ""


def _read_json(path: Path) -> dict[str, Any]:
    try:
        text = _COMMENT.sub(_only_strings, path.read_text(encoding="utf-8-sig"))
        content = json.loads(_LAST_COMMA.sub(_only_strings, text))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SettingsError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold a JSON object")
    return content
