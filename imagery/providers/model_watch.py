"""Whether the image model would take a call: its description, which is free, asked for once in a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from imagery.providers.errors import NanoBananaError, PaymentUnknownError

# all who ask within this time get the same answer
LOOK_EVERY_S = 600.0
REMEDIES = {
    "nano_banana_forbidden": "the key is dead or its account suspended; replace NANO_BANANA_API_KEY",
    "nano_banana_payment_required": "the account has no money; pay the provider's bill",
    "nano_banana_model_not_found": "the model is missing or retired; name another in NANO_BANANA_PROVIDER",
}
# stages of which the service says that the model can't be used
_GONE = {"DEPRECATED", "RETIRED"}


class Describes(Protocol):
    """A client that can ask for the model's description."""

    def look(self) -> dict[str, Any]:
        """Raises ``NanoBananaError`` if calls would fail."""
        ...


@dataclass(frozen=True)
class ModelLook:
    """What came back: the description, or ``error``, the code of why there is none."""

    asked_at: datetime
    description: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def retires_at(self) -> datetime | None:
        """``modelStatus.retirementTime``, where the service says it."""
        try:
            moment = datetime.fromisoformat(str(self._status.get("retirementTime")))
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    @property
    def is_retired(self) -> bool:
        """True when the service says that the model can't be used any more."""
        passed = self.retires_at is not None and self.retires_at <= self.asked_at
        return passed or str(self._status.get("modelStage")) in _GONE

    @property
    def is_usable(self) -> bool:
        """True when nothing says that a call would fail."""
        return self.error is None and not self.is_retired

    def __str__(self) -> str:
        """One sentence for an operator."""
        when = f"asked {self.asked_at:%H:%M} UTC"
        if self.error is not None:
            return f"{told(self.error)} ({when})"
        if self.is_retired:
            return f"{told('nano_banana_model_not_found')} ({when})"
        if self.retires_at is not None:
            until = f"{self.retires_at:%Y-%m-%d}"
            return f"the model will retire on {until}; name another one in NANO_BANANA_PROVIDER before"
        return f"key and model are good ({when})"

    @property
    def _status(self) -> dict[str, Any]:
        status = self.description.get("modelStatus")
        return status if isinstance(status, dict) else {}


class ModelWatch:
    """The last look at the model, shared by a whole process."""

    def __init__(self, client: Describes, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._began_at: float | None = None
        self._ended = threading.Event()
        self._last: ModelLook | None = None

    def last(self, patience_s: float) -> ModelLook | None:
        """What is known of the model, looked up again in a thread when it is ``LOOK_EVERY_S`` old.

        Waits up to ``patience_s`` for a look that is under way. Returns None if none has ended yet.
        """
        with self._lock:
            now = self._clock()
            if self._began_at is None or now - self._began_at >= LOOK_EVERY_S:
                self._began_at, self._ended = now, threading.Event()
                threading.Thread(target=self._look, args=(self._ended,), daemon=True).start()
            ended = self._ended
        ended.wait(patience_s)
        return self._last

    def _look(self, ended: threading.Event) -> None:
        asked_at = datetime.now(UTC)
        try:
            found = ModelLook(asked_at, self._client.look())
        except PaymentUnknownError:
            # nothing is paid here: it only did not answer in time
            found = ModelLook(asked_at, error="nano_banana_unreachable")
        except NanoBananaError as error:
            found = ModelLook(asked_at, error=error.code)
        except Exception as error:
            found = ModelLook(asked_at, error=type(error).__name__)
        self._last = found
        ended.set()


def told(code: str) -> str:
    """The code of why calls fail, with what to do about it where an operator can do something."""
    return (
        f"{code}: {REMEDIES[code]}" if code in REMEDIES else f"the model's description did not come ({code})"
    )
