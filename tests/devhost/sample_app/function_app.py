"""A small app with one of everything that the host has to run."""

import asyncio
import datetime as dt
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
NOTES = Path(os.environ["NOTES"])


NOTING = threading.Lock()


def note(kind: str, **values: object) -> None:
    """Write one line that the tests read."""
    with NOTING, NOTES.open("a") as file:
        file.write(json.dumps({"kind": kind, "at": time.time(), **values}) + "\n")


def noted(kind: str, **values: object) -> int:
    lines = [json.loads(line) for line in NOTES.read_text().splitlines()]
    return sum(line["kind"] == kind and values.items() <= line.items() for line in lines)


@app.route(route="echo/{id:int}/{word?}", methods=["GET", "POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    shown = {
        "method": req.method,
        "params": dict(req.route_params),
        "query": dict(req.params),
        "header": req.headers.get("X-Test"),
        "body": req.get_body().hex(),
        "settings": [os.environ.get("FROM_FILE"), os.environ.get("FROM_BOTH")],
    }
    return func.HttpResponse(json.dumps(shown), mimetype="application/json", headers={"X-Answer": "yes"})


@app.route(route="bytes")
async def binary(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(bytes(range(256)), mimetype="application/octet-stream")


@app.route(route="texts/{text}", methods=["GET", "HEAD"])
def texts(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    logging.getLogger("sample").info("one line for %s", req.route_params["text"])
    shown = {
        "url": req.url,
        "text": req.route_params["text"],
        "types": [type(req).__module__, type(req).__name__, type(req.get_body()).__name__],
        "function": context.function_name,
    }
    return func.HttpResponse(json.dumps(shown), mimetype="application/json")


@app.route(route="sized", methods=["HEAD"])
def sized(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(b"", headers={"Content-Length": "123"})


@app.route(route="cookies")
def cookies(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse("")
    response.headers.add("Set-Cookie", "a=1; Path=/")
    response.headers.add("Set-Cookie", "b=2")
    return response


@app.route(route="texts/special")
def special(req: func.HttpRequest) -> str:
    return "the literal route"


@app.route(route="accepted", methods=["POST"])
def accepted(req: func.HttpRequest) -> func.HttpResponse:
    said = req.get_body().decode()
    return func.HttpResponse(said, status_code=202, headers={"Location": "/nowhere", "Retry-After": "1"})


@app.route(route="size", methods=["POST"])
def size(req: func.HttpRequest) -> str:
    return str(len(req.get_body()))


@app.route(route="sleep/{milliseconds:int}")
async def sleep(req: func.HttpRequest) -> str:
    await asyncio.sleep(int(req.route_params["milliseconds"]) / 1000)
    return "slept"


@app.route(route="nothing_back")
def nothing_back(req: func.HttpRequest) -> None:
    return None


@app.route(route="broken")
def broken(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("secret internals")


@app.route(route="guarded", auth_level=func.AuthLevel.FUNCTION)
def guarded(req: func.HttpRequest) -> str:
    return "inside"


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client) -> func.HttpResponse:
    instance_id = req.params.get("id")
    given = json.loads(req.get_body() or b"null")
    try:
        started = await client.start_new(req.route_params["name"], instance_id, given)
    except Exception as error:
        return func.HttpResponse(str(error), status_code=409)
    return func.HttpResponse(started)


@app.route(route="client/{verb}/{id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def use_client(req: func.HttpRequest, client) -> func.HttpResponse:
    verb, instance_id = req.route_params["verb"], req.route_params["id"]
    if verb == "status":
        status = await client.get_status(instance_id)
        shown = status.to_json() if status else None
        return func.HttpResponse(json.dumps(shown, default=str), mimetype="application/json")
    if verb == "event":
        await client.raise_event(instance_id, "go", {"x": 1})
    elif verb == "terminate":
        await client.terminate(instance_id, "enough")
    elif verb == "query":
        found = await client.get_status_by(runtime_status=[df.OrchestrationRuntimeStatus.Failed])
        return func.HttpResponse(json.dumps([each.instance_id for each in found]))
    elif verb == "purge":
        purged = await client.purge_instance_history(instance_id)
        return func.HttpResponse(str(purged.instances_deleted))
    elif verb == "signal":
        await client.signal_entity(df.EntityId("counter", instance_id), "add", 5)
    elif verb == "entity":
        state = await client.read_entity_state(df.EntityId("counter", instance_id))
        return func.HttpResponse(json.dumps([state.entity_exists, state.entity_state]))
    else:
        await getattr(client, verb)(instance_id, "why")
    return func.HttpResponse("ok")


class Policy(df.RetryOptions):
    def to_json(self):
        more = {"backoffCoefficient": 2.0, "maxRetryIntervalInMilliseconds": 2500}
        return super().to_json() | more


class Limited(df.RetryOptions):
    def to_json(self):
        return super().to_json() | {"retryTimeoutInMilliseconds": 1600}


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext):
    value = context.get_input()
    for _ in range(3):
        value = yield context.call_activity("add_one", value)
    context.set_custom_status({"value": value})
    return value


@app.orchestration_trigger(context_name="context")
def fan_out(context: df.DurableOrchestrationContext):
    values = yield context.task_all([context.call_activity("add_one", n) for n in range(10)])
    return sum(values)


@app.orchestration_trigger(context_name="context")
def retrying(context: df.DurableOrchestrationContext):
    options = Policy(context.get_input().get("first_ms", 100), context.get_input()["attempts"])
    try:
        return (yield context.call_activity_with_retry("flaky", options, context.get_input()))
    except Exception as error:
        return f"gave up: {'flaky' in str(error)}"


@app.orchestration_trigger(context_name="context")
def parallel_retries(context: df.DurableOrchestrationContext):
    given = [{"key": f"{context.instance_id}-{n}", "succeed_at": n + 1} for n in range(3)]
    tasks = [context.call_activity_with_retry("flaky", Policy(50, 5), each) for each in given]
    results = yield context.task_all(tasks)
    last = yield context.call_activity("add_one", 41)
    return [*results, last]


@app.orchestration_trigger(context_name="context")
def race(context: df.DurableOrchestrationContext):
    due = context.current_utc_datetime + dt.timedelta(seconds=context.get_input())
    timer, event = context.create_timer(due), context.wait_for_external_event("go")
    winner = yield context.task_any([timer, event])
    if winner == event:
        timer.cancel()
        return {"event": event.result}
    return "timer"


@app.orchestration_trigger(context_name="context")
def parent(context: df.DurableOrchestrationContext):
    first = yield context.call_sub_orchestrator("chain", 1, f"{context.instance_id}-child")
    try:
        yield context.call_sub_orchestrator("failing", None)
    except Exception:
        return [first, "child failed"]
    return first


@app.orchestration_trigger(context_name="context")
def failing(context: df.DurableOrchestrationContext):
    yield context.call_activity("add_one", 1)
    raise ValueError("on purpose")


@app.orchestration_trigger(context_name="context")
def eternal(context: df.DurableOrchestrationContext):
    count = context.get_input()
    if count >= 3:
        return count
    yield context.call_activity("add_one", count)
    context.continue_as_new(count + 1)
    return None


@app.orchestration_trigger(context_name="context")
def limited(context: df.DurableOrchestrationContext):
    yield context.call_activity_with_retry("flaky", Limited(1400, 9), context.get_input())


@app.orchestration_trigger(context_name="context")
def five(context: df.DurableOrchestrationContext):
    for number in range(5):
        yield context.call_activity("add_one", number)


@app.orchestration_trigger(context_name="context")
def generations(context: df.DurableOrchestrationContext):
    """Leaves a cancelled timer behind that fires in the next generation's time."""
    if context.get_input() == 1:
        return (yield context.call_activity("nap", 1.3))
    timer = context.create_timer(context.current_utc_datetime + dt.timedelta(seconds=1.5))
    yield context.task_any([timer, context.call_activity("add_one", 1)])
    timer.cancel()
    context.continue_as_new(1)
    return None


@app.orchestration_trigger(context_name="context")
def leaves_early(context: df.DurableOrchestrationContext):
    """Returns, or continues as new, while an activity still runs."""
    if context.get_input() == "again":
        return (yield context.wait_for_external_event("go"))
    yield context.task_any([context.call_activity("nap", 0.7), context.call_activity("add_one", 1)])
    if context.get_input() == "continue":
        context.continue_as_new("again")
    return "returned"


@app.orchestration_trigger(context_name="context")
def naps(context: df.DurableOrchestrationContext):
    first = yield context.call_activity("nap", 0.5)
    second = yield context.call_activity("nap", 0.01)
    return [first, second]


@app.orchestration_trigger(context_name="context")
def many_naps(context: df.DurableOrchestrationContext):
    yield context.task_all([context.call_activity("nap", 0.2) for _ in range(10)])


@app.orchestration_trigger(context_name="context")
def fails_fast(context: df.DurableOrchestrationContext):
    yield context.task_all([context.call_activity("boom", "at once"), context.call_activity("nap", 0.6)])


@app.orchestration_trigger(context_name="context")
def fragile(context: df.DurableOrchestrationContext):
    first = yield context.call_activity("add_one", 1)
    second = yield context.call_sub_orchestrator("fragile_child", context.instance_id)
    return [first, second]


@app.orchestration_trigger(context_name="context")
def fragile_child(context: df.DurableOrchestrationContext):
    key = context.get_input()
    before = yield context.call_activity("add_one", 10)
    return [before, (yield context.call_activity("flaky", {"key": key, "succeed_at": 2}))]


@app.orchestration_trigger(context_name="context")
def retried_child(context: df.DurableOrchestrationContext):
    return (
        yield context.call_sub_orchestrator_with_retry("fragile_child", Policy(50, 3), context.instance_id)
    )


@app.orchestration_trigger(context_name="context")
def told(context: df.DurableOrchestrationContext):
    """Catches its activity's failure and hands its text on."""
    try:
        yield context.call_activity("boom", "the reason")
    except Exception as error:
        return str(error)


@app.orchestration_trigger(context_name="context")
def fickle(context: df.DurableOrchestrationContext):
    """Not deterministic: asks for another activity each time it runs."""
    note("fickle", id=context.instance_id)
    if noted("fickle", id=context.instance_id) == 1:
        return (yield context.call_activity("add_one", 1))
    return (yield context.call_activity("nap", 0))


@app.orchestration_trigger(context_name="context")
def guarded_log(context: df.DurableOrchestrationContext):
    for step in range(3):
        if not context.is_replaying:
            note("step", step=step, id=context.instance_id)
        yield context.call_activity("add_one", step)


@app.orchestration_trigger(context_name="context")
def calls_http(context: df.DurableOrchestrationContext):
    return (yield context.call_http(context.get_input()["method"], context.get_input()["url"], "said"))


@app.orchestration_trigger(context_name="context")
def names_its_parent(context: df.DurableOrchestrationContext):
    child = yield context.call_sub_orchestrator("child_of", None)
    return [context.parent_instance_id, child == context.instance_id]


@app.orchestration_trigger(context_name="context")
def child_of(context: df.DurableOrchestrationContext):
    yield context.call_activity("add_one", 1)
    return context.parent_instance_id


@app.orchestration_trigger(context_name="context")
def exits(context: df.DurableOrchestrationContext):
    """Calls ``sys.exit`` itself, or lets an activity or entity do so."""
    match context.get_input():
        case "activity":
            yield context.call_activity("exits_now", None)
        case "async activity":
            yield context.call_activity("exits_soon", None)
        case "entity":
            yield context.call_entity(df.EntityId("counter", context.instance_id), "exit")
    sys.exit(3)


@app.activity_trigger(input_name="nothing")
def exits_now(nothing: None) -> None:
    sys.exit(3)


@app.activity_trigger(input_name="nothing")
async def exits_soon(nothing: None) -> None:
    sys.exit(3)


@app.route(route="exit")
def exits_over_http(req: func.HttpRequest) -> str:
    sys.exit(3)


@app.orchestration_trigger(context_name="context")
def failing_entity(context: df.DurableOrchestrationContext):
    entity = df.EntityId("counter", context.instance_id)
    try:
        yield context.call_entity(entity, "fail")
    except Exception as error:
        return [str(error), (yield context.call_entity(entity, "add", 3))]


@app.orchestration_trigger(context_name="context")
def counting(context: df.DurableOrchestrationContext):
    entity = df.EntityId("counter", context.get_input())
    context.signal_entity(entity, "add", 2)
    return (yield context.call_entity(entity, "get"))


@app.activity_trigger(input_name="number")
def add_one(number: int) -> int:
    note("add_one", number=number)
    return number + 1


@app.activity_trigger(input_name="given")
async def flaky(given: dict) -> str:
    note("flaky", key=given["key"])
    tries = sum(json.loads(line).get("key") == given["key"] for line in NOTES.read_text().splitlines())
    if tries < given["succeed_at"]:
        raise RuntimeError("not yet")
    return f"after {tries}"


@app.activity_trigger(input_name="seconds")
def nap(seconds: float) -> str:
    note("nap begins")
    time.sleep(seconds)
    note("nap ends")
    return "napped"


@app.activity_trigger(input_name="why")
def boom(why: str) -> None:
    raise ValueError(why)


@app.activity_trigger(input_name="nothing")
async def never(nothing: None) -> None:
    await asyncio.sleep(60)


@app.orchestration_trigger(context_name="context")
def waits_for_never(context: df.DurableOrchestrationContext):
    yield context.call_activity("never", None)


@app.entity_trigger(context_name="context")
def counter(context: df.DurableEntityContext):
    value = context.get_state(lambda: 0)
    if context.operation_name == "fail":
        raise ValueError("not this one")
    if context.operation_name == "exit":
        sys.exit(3)
    if context.operation_name == "delete":
        context.destruct_on_exit()
        return
    if context.operation_name == "add":
        value += context.get_input()
    context.set_state(value)
    context.set_result(value)


@app.blob_trigger(arg_name="upload", path="incoming/{name}", connection="AzureWebJobsStorage")
def by_client(upload: blob.BlobClient) -> None:
    note("client", name=upload.blob_name, container=upload.container_name)
    if "poison" in upload.blob_name:
        # a file that the function misses is its failure, not a blob that is gone
        raise FileNotFoundError("never")
    if "vanishing" in upload.blob_name:
        (Path(os.environ["LOCAL_STORAGE_PATH"]) / upload.container_name / upload.blob_name).unlink()
        raise FileNotFoundError(upload.blob_name)


@app.blob_trigger(arg_name="stream", path="streams/{name}.txt", connection="AzureWebJobsStorage")
def by_stream(stream: func.InputStream) -> None:
    note("stream", name=stream.name, text=stream.read().decode(), length=stream.length)


@app.timer_trigger(arg_name="timer", schedule="%SAMPLE_SCHEDULE%", use_monitor=False)
async def tick(timer: func.TimerRequest) -> None:
    note("tick", past_due=timer.past_due)


@app.timer_trigger(arg_name="timer", schedule="00:00:01", run_on_startup=True, use_monitor=False)
def slow_tick(timer: func.TimerRequest) -> None:
    note("slow tick begins")
    time.sleep(1.3)
    note("slow tick ends")
