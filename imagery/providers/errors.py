"""How a paid call can end without a picture: what matters is whether it may have been charged."""

from __future__ import annotations


class NanoBananaError(Exception):
    """The call brought no picture. ``code`` is stable, ``message`` fit for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ServiceUnavailableError(NanoBananaError):
    """503, or no connection at all: nothing was executed, so the call may be repeated."""


class RateLimitedError(NanoBananaError):
    """429: nothing was executed; the service asks to wait ``retry_after_s`` seconds."""

    def __init__(self, code: str, message: str, retry_after_s: float) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class NoPictureError(NanoBananaError):
    """The model judged the input and returned no picture (safety, recitation, text only); not charged."""


class CallRejectedError(NanoBananaError):
    """The request, key or account is not accepted: permanent, not charged."""


class PaymentUnknownError(NanoBananaError):
    """The request went out and its response was lost or unreadable: it may have been charged."""

    def __init__(self, message: str) -> None:
        super().__init__("payment_unknown", message)
