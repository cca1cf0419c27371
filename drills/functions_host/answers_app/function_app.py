"""Orchestrators at the edges of what the extension promises; ``drills.functions_host.answers`` asks them."""

import datetime as dt
import sys
import time
from collections import Counter
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
# per process: what these orchestrators need to be non-deterministic on purpose
RUNS: Counter = Counter()


def after(context: df.DurableOrchestrationContext, seconds: float) -> Any:
    return context.create_timer(context.current_utc_datetime + dt.timedelta(seconds=seconds))


@app.route(route="ready")
def ready(req: func.HttpRequest) -> str:
    return "ready"


@app.route(route="moved", methods=["GET", "POST"])
def moved(req: func.HttpRequest) -> func.HttpResponse:
    """Accepted twice, then done: what ``call_http`` polls."""
    RUNS[req.params["key"]] += 1
    if RUNS[req.params["key"]] > 2:
        return func.HttpResponse(f"done by {req.method}")
    return func.HttpResponse(status_code=202, headers={"Location": req.url, "Retry-After": "1"})


@app.activity_trigger(input_name="number")
def double(number: int) -> int:
    return 2 * number


@app.activity_trigger(input_name="seconds")
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "napped"


@app.activity_trigger(input_name="key")
def second_time(key: str) -> int:
    RUNS[key] += 1
    if RUNS[key] < 2:
        raise RuntimeError("not yet")
    return RUNS[key]


@app.orchestration_trigger(context_name="context")
def last_wait_first(context):
    """The event is for the wait that began last."""
    early, quick = context.wait_for_external_event("go"), context.call_activity("double", 1)
    yield context.task_any([early, quick])
    value = yield context.wait_for_external_event("go")
    return [value, (yield context.call_activity("double", 2)), early.is_completed]


@app.orchestration_trigger(context_name="context")
def returns_early(context):
    """Returns while an activity is still running."""
    yield context.task_any([context.call_activity("nap", 3), context.call_activity("double", 1)])
    return "returned"


@app.orchestration_trigger(context_name="context")
def leaves_a_timer(context):
    yield context.task_any([after(context, 4), context.call_activity("double", 1)])
    return "returned"


@app.orchestration_trigger(context_name="context")
def cancels_its_timer(context):
    timer = after(context, 600)
    yield context.task_any([timer, context.call_activity("double", 1)])
    timer.cancel()
    return (yield context.call_activity("double", 2))


@app.orchestration_trigger(context_name="context")
def waits_for_a_cancelled_timer(context):
    timer = after(context, 3)
    timer.cancel()
    yield timer
    return "fired"


@app.orchestration_trigger(context_name="context")
def cancels_beside_a_retry(context):
    """At its replay the cancelled timer ends the wait at once, and every id behind it is another one."""
    timer = after(context, 600)
    call = context.call_activity_with_retry("second_time", df.RetryOptions(1000, 3), context.instance_id)
    yield context.task_any([timer, call])
    timer.cancel()
    return (yield context.call_activity("double", 2))


@app.orchestration_trigger(context_name="context")
def fails_early(context):
    yield context.task_any([context.call_activity("nap", 3), context.call_activity("double", 1)])
    raise ValueError("early")


@app.orchestration_trigger(context_name="context")
def continues_early(context):
    if context.get_input() == "2":
        return "second generation"
    yield context.task_any([context.call_activity("nap", 3), context.call_activity("double", 1)])
    context.continue_as_new("2")


@app.orchestration_trigger(context_name="context")
def asks_for_less(context):
    """Not deterministic: at its replay it no longer asks for its activity."""
    RUNS[context.instance_id] += 1
    if RUNS[context.instance_id] == 1:
        yield context.call_activity("double", 1)
    return "nothing"


@app.orchestration_trigger(context_name="context")
def asks_for_another(context):
    RUNS[context.instance_id] += 1
    yield context.call_activity("double" if RUNS[context.instance_id] == 1 else "nap", 0)


@app.orchestration_trigger(context_name="context")
def asks_in_other_case(context):
    RUNS[context.instance_id] += 1
    return (yield context.call_activity("double" if RUNS[context.instance_id] == 1 else "DOUBLE", 4))


@app.orchestration_trigger(context_name="context")
def nothing_to_wait_for(context):
    return "no yield"


@app.orchestration_trigger(context_name="context")
def names_its_parent(context):
    return [context.parent_instance_id is None, (yield context.call_sub_orchestrator("child", 1))]


@app.orchestration_trigger(context_name="context")
def child(context):
    yield context.call_activity("double", 1)
    return context.parent_instance_id


@app.orchestration_trigger(context_name="context")
def calls_http(context):
    answer = yield context.call_http("GET", context.get_input())
    return answer


@app.orchestration_trigger(context_name="context")
def told_by_an_entity(context):
    entity = df.EntityId("counter", context.instance_id)
    try:
        yield context.call_entity(entity, "fail")
    except Exception as error:
        return [str(error), (yield context.call_entity(entity, "add", 3))]


@app.orchestration_trigger(context_name="context")
def rewound(context):
    return (yield context.call_activity("second_time", context.instance_id))


@app.orchestration_trigger(context_name="context")
def rewound_after_retries(context):
    options = df.RetryOptions(1000, 1)
    return (yield context.call_activity_with_retry("second_time", options, context.instance_id))


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext):
    if context.operation_name == "fail":
        raise ValueError("not this one")
    value = context.get_state(lambda: 0)
    if context.operation_name == "add":
        value += context.get_input()
        context.set_state(value)
    context.set_result(value)


@app.activity_trigger(input_name="nothing")
def exits(nothing: None) -> None:
    sys.exit(3)


@app.orchestration_trigger(context_name="context")
def calls_what_exits(context):
    try:
        yield context.call_activity("exits", None)
    except Exception as error:
        return f"caught: {error}"


@app.orchestration_trigger(context_name="context")
def exits_itself(context):
    sys.exit(4)
    yield context.call_activity("double", 1)
