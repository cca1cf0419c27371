"""How a paid call can end without a picture: what matters is whether it may have been charged."""

from __future__ import annotations

from typing import Any

# codes of ``OutOfServiceError``
OUT_OF_SERVICE = frozenset(
    {
        "nano_banana_forbidden",
        "nano_banana_model_not_found",
        "nano_banana_payment_required",
        "nano_banana_token_refused",
    }
)


class NanoBananaError(Exception):
    """The call brought no picture. ``code`` is stable, ``message`` fit for people.

    ``said``: model, response_id, usage and text of an answer without a picture; empty without an answer.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.said: dict[str, Any] = {}


class ServiceUnavailableError(NanoBananaError):
    """The service says that it failed, or there was no connection: not charged, the call may be repeated."""


class RateLimitedError(NanoBananaError):
    """429: nothing was executed. ``retry_after_s``: the wait that the service asks for, if it does."""

    def __init__(self, code: str, message: str, retry_after_s: float | None) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class QuotaExhaustedError(NanoBananaError):
    """429 of a quota that comes back another day, or of what the account may spend: not charged."""


class OutOfServiceError(NanoBananaError):
    """No call of anybody can succeed until an operator acts: the key is dead, or the model is gone."""


# what one provider's trouble is, another one may not have; none of them was charged
ELSEWHERE = (ServiceUnavailableError, RateLimitedError, QuotaExhaustedError, OutOfServiceError)


class NoPictureError(NanoBananaError):
    """The model judged the input and returned no picture (safety, recitation, text only); not charged."""


class OddAnswerError(NanoBananaError):
    """The model returned no picture and no judgement; not charged, and the next try often brings one."""


class CallRejectedError(NanoBananaError):
    """The request, key or account is not accepted: permanent, not charged."""


class PaymentUnknownError(NanoBananaError):
    """The request went out and its response was lost or unreadable: it may have been charged."""

    def __init__(self, message: str) -> None:
        super().__init__("payment_unknown", message)
