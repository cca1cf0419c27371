"""What a response of the image service with another status than 200 means: whether it may be charged."""

from __future__ import annotations

import httpx

from imagery.providers.errors import (
    CallRejectedError,
    NanoBananaError,
    OutOfServiceError,
    PaymentUnknownError,
    QuotaExhaustedError,
    RateLimitedError,
    ServiceUnavailableError,
)
from imagery.providers.google_error import GoogleError
from imagery.providers.response import MAX_TEXT

_BAD_REQUEST, _RATE_LIMITED = 400, 429
# the service's own failures; Google charges none of them (its page on billing)
_FAILED = frozenset({500, 502, 503, 504})
# whatever is asked, until an operator acts
_OUT_OF_SERVICE = {
    401: "nano_banana_forbidden",
    402: "nano_banana_payment_required",
    403: "nano_banana_forbidden",
    404: "nano_banana_model_not_found",
}


def error_of(
    status: int,
    headers: httpx.Headers,
    error: GoogleError,
    text: str,
    *,
    bills_errors: bool,
    charges_pictures_only: bool,
) -> NanoBananaError:
    """The error to raise. ``text``: Google's message without secrets."""
    failed = status in _FAILED or (charges_pictures_only and _is_broken_off(status))
    text = text[:MAX_TEXT]
    if status == _RATE_LIMITED:
        if error.is_used_up:
            message = f"The quota of the image model is used up. Retry the job when it is renewed. {text}"
            return QuotaExhaustedError("nano_banana_quota_exhausted", message.strip())
        message = f"The image model's rate limit is reached. {text}".strip()
        return RateLimitedError("nano_banana_rate_limited", message, error.retry_after_s(headers))
    if failed and error.is_googles and not bills_errors:
        message = f"The image model failed ({status} {error.status}). {text}".strip()
        return ServiceUnavailableError("nano_banana_unavailable", message)
    if status in _OUT_OF_SERVICE or (status == _BAD_REQUEST and error.is_dead_key):
        code = _OUT_OF_SERVICE.get(status, "nano_banana_forbidden")
        return OutOfServiceError(code, f"The image model takes no calls ({status}). {text}".strip())
    if _is_permanent(status):
        code = "nano_banana_bad_request" if status == _BAD_REQUEST else "nano_banana_rejected"
        return CallRejectedError(code, f"The image model rejected the call ({status}). {text}".strip())
    # a gateway may have cut off a call that goes on, and is charged, behind it
    who = "The image model" if error.is_googles else "Something before the image model"
    return PaymentUnknownError(f"{who} responded with {status}.")


def _is_broken_off(status: int) -> bool:
    """The service stopped half-way: who charges pictures only charges nothing for that."""
    return status >= 500 or status in {408, 499}


def _is_permanent(status: int) -> bool:
    """Redirects and client errors were not executed; 408 says that the request was cut off half-way."""
    return 300 <= status < 500 and status != httpx.codes.REQUEST_TIMEOUT
