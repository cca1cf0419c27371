"""One callback until it is delivered or given up, waiting on durable timers."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import azure.durable_functions as df

from imagery.contracts import CallbackInput, CallbackOrder, CallbackOutcome
from orchestrators.retry import ExponentialRetryOptions


def callback(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    """Input ``CallbackInput``, output ``CallbackOutcome``."""
    order = CallbackInput.from_json(context.get_input())
    message = CallbackOrder(delivery_id=order.delivery_id).to_json()
    options = ExponentialRetryOptions(order.records_retry, context.instance_id)
    outcome = CallbackOutcome()
    for _ in range(order.max_attempts):
        answer = yield context.call_activity_with_retry("notify", options, message)
        outcome = CallbackOutcome.from_json(answer)
        if outcome.retry_after_s is None:
            break
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=outcome.retry_after_s))
    return outcome.to_json()
