"""Report to a callback URL how a job ended: one attempt."""

from __future__ import annotations

from datetime import timedelta

from imagery.backoff import queue_s, wait_s
from imagery.contracts import CallbackOrder, CallbackOutcome, JsonObject
from imagery.database.tables import CallbackDelivery, utc_now
from imagery.retry import RetryRules
from imagery.safe_http import RefusedUrlError, UnreachableError, post
from imagery.services import Services, get_services
from imagery.settings import Environment
from imagery.telemetry.logs import log_context
from imagery.telemetry.tracing import SpanType, span
from imagery.webhooks import SigningKeyError, signed_headers, webhook_secret

_HOLD_MARGIN_S = 30.0
_GONE = 410


def notify(message: JsonObject) -> JsonObject:
    """Activity: one attempt to deliver a callback. Returns when to try again, if at all."""
    order = CallbackOrder.from_json(message)
    services = get_services()
    hold = timedelta(seconds=services.settings.callbacks.retry.timeout_s + _HOLD_MARGIN_S)
    delivery = services.callbacks.claim(order.delivery_id, hold)
    if delivery is None:
        return CallbackOutcome().to_json()
    with (
        log_context(job_id=delivery.job_id),
        span("notify", SpanType.INTERNAL, delivery.job_id, attempt=delivery.attempts) as attempt,
    ):
        outcome = _attempt(services, delivery)
        if not outcome.delivered:
            attempt.failed("callback_failed")
        return outcome.to_json()


def _attempt(services: Services, delivery: CallbackDelivery) -> CallbackOutcome:
    settings = services.settings
    user = services.users.get(delivery.owner_id)
    try:
        version = user.webhook_version if user else 1
        secret = webhook_secret(settings.callbacks.signing_key, delivery.owner_id, version)
        answer = post(
            delivery.url,
            delivery.body.encode(),
            signed_headers(secret, delivery.delivery_id, utc_now(), delivery.body),
            timeout_s=settings.callbacks.retry.timeout_s,
            allow_loopback=settings.env is Environment.DEV,
        )
    except RefusedUrlError as error:
        return _give_up(services, delivery, f"The URL was refused: {error}.", None)
    except SigningKeyError as error:
        return _again(services, delivery, str(error), None, None)
    except UnreachableError as error:
        return _again(services, delivery, f"No answer: {error}.", None, None)
    if 200 <= answer.status < 300:
        services.callbacks.delivered(delivery.delivery_id, answer.status)
        return CallbackOutcome(delivered=True)
    if answer.status == _GONE:
        return _give_up(services, delivery, "The receiver wants no more callbacks (410).", answer.status)
    told = "redirects are not followed" if 300 <= answer.status < 400 else "not accepted"
    return _again(services, delivery, f"Answer {answer.status}: {told}.", answer.status, answer.retry_after_s)


def _again(
    services: Services, delivery: CallbackDelivery, error: str, status: int | None, asked_s: float | None
) -> CallbackOutcome:
    wait = wait_until_next_s(services, delivery, asked_s)
    again = services.callbacks.failed(
        delivery.delivery_id, error, status, utc_now() + timedelta(seconds=wait)
    )
    return CallbackOutcome(retry_after_s=wait if again else None)


def _give_up(
    services: Services, delivery: CallbackDelivery, error: str, status: int | None
) -> CallbackOutcome:
    services.callbacks.failed(delivery.delivery_id, error, status, None)
    return CallbackOutcome()


def wait_until_next_s(services: Services, delivery: CallbackDelivery, asked_s: float | None) -> int:
    """Seconds until the next attempt, longer where the receiver asked for it."""
    policy = RetryRules.of(services.settings).callback
    wait = wait_s(policy, delivery.attempts, delivery.delivery_id)
    return queue_s(max(wait, min(asked_s or 0.0, policy.cap_s)))
