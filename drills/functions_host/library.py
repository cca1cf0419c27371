"""The app through Microsoft's worker library, without a host: what it indexes, and one call of each kind.

It runs in the Python of ``drills.functions_host.python``, in the app's folder, with the app's settings, and
with the name of a blob in ``uploads``. Every input has the form in which the Functions host sends it. The
last line is JSON: the bindings of each function, and what each call returned.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import azure_functions_runtime as library
import worker_channel_pb2 as wire

_TIMER = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
_ORCHESTRATOR = "image_pipeline"
_BEGUN = "2026-11-27T00:00:00.000000Z"


class DurableApi(BaseHTTPRequestHandler):
    """The extension's local API, as far as a client needs it to start instances: it keeps what it is sent."""

    started: ClassVar[dict[str, str]] = {}

    def do_POST(self) -> None:
        """``orchestrators/{name}/{instance}``."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        instance = self.path.split("?")[0].rpartition("/")[2]
        self.started[instance] = body
        self._respond(202, {"id": instance})

    def do_GET(self) -> None:
        """No instance is known."""
        self._respond(404, {})

    def _respond(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Library:
    """The library as a host drives it."""

    def __init__(self, durable_url: str) -> None:
        self._client = json.dumps(
            {
                "taskHubName": "ImageryPipeline",
                "connectionName": None,
                "creationUrls": {"createNewInstancePostUri": durable_url},
                "managementUrls": {"id": "INSTANCEID", "statusQueryGetUri": durable_url},
                "baseUrl": durable_url,
                "requiredQueryStringParameters": "",
                "rpcBaseUrl": f"{durable_url}/durabletask/",
                "httpBaseUrl": None,
                "maxGrpcMessageSizeInBytes": None,
                "grpcHttpClientTimeout": None,
            }
        )
        self._ids: dict[str, str] = {}

    async def load(self) -> dict[str, list[dict[str, Any]]]:
        """Index the app. Returns the bindings of each function, as the host receives them."""
        order = wire.WorkerInitRequest(host_version="4", function_app_directory=str(Path.cwd()))
        _check(await library.worker_init_request(_message(worker_init_request=order)))
        asked = wire.FunctionsMetadataRequest(function_app_directory=str(Path.cwd()))
        indexed = await library.functions_metadata_request(_message(functions_metadata_request=asked))
        _check(indexed)
        functions = {each.name: each for each in indexed.function_metadata_results}
        self._ids = {name: each.function_id for name, each in functions.items()}
        for each in functions.values():
            load = wire.FunctionLoadRequest(function_id=each.function_id, metadata=each)
            _check(await library.function_load_request(_message(function_load_request=load)))
        return {
            name: [json.loads(binding) for binding in each.raw_bindings] for name, each in functions.items()
        }

    async def call(self, function: str, parameter: str, data: Any, *, with_client: bool = False) -> Any:
        """Invoke ``function``. Returns its ``TypedData``. Raises ``RuntimeError`` with the worker's words."""
        inputs = [wire.ParameterBinding(name=parameter, data=data)]
        if with_client:
            client = wire.TypedData(string=self._client)
            inputs.append(wire.ParameterBinding(name="client", data=client))
        request = wire.InvocationRequest(
            invocation_id=function, function_id=self._ids[function], input_data=inputs
        )
        answer = await library.invocation_request(_message(invocation_request=request))
        _check(answer)
        return answer.return_value


def _message(**content: Any) -> SimpleNamespace:
    message = wire.StreamingMessage(**content)
    return SimpleNamespace(request=message, properties={"host": "127.0.0.1", "protos": wire})


def _check(answer: Any) -> None:
    if answer.result.status != wire.StatusResult.Success:
        raise RuntimeError(f"{answer.result.exception.message}\n{answer.result.exception.stack_trace}")


def _first_episode(instance: str, body: str) -> str:
    """What the extension sends for the first episode of an instance that was started with ``body``."""
    begun = {"EventType": 12, "EventId": -1, "IsPlayed": False, "Timestamp": _BEGUN}
    started = {
        "OrchestrationInstance": {"InstanceId": instance, "ExecutionId": "0"},
        "EventType": 0,
        "ParentInstance": None,
        "Name": _ORCHESTRATOR,
        "Version": None,
        "Input": body,
        "Tags": None,
        "EventId": -1,
        "IsPlayed": False,
        "Timestamp": _BEGUN,
    }
    return json.dumps(
        {
            "history": [begun, started],
            "input": json.loads(body),
            "instanceId": instance,
            "isReplaying": False,
            "parentInstanceId": None,
            "sourceInstanceId": None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 3,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
        }
    )


async def run(worker: Library, blob: str) -> dict[str, Any]:
    """Load the app and call it. Returns what came back."""
    seen: dict[str, Any] = {"bindings": await worker.load()}
    http = wire.RpcHttp(method="GET", url="http://localhost/healthz", headers={"host": "localhost"})
    answer = await worker.call("http", "req", wire.TypedData(http=http), with_client=True)
    seen["http"] = {"status": answer.http.status_code, "body": json.loads(answer.http.body.bytes)}
    where = {"Connection": "AzureWebJobsStorage", "ContainerName": "uploads", "BlobName": blob}
    data = wire.ModelBindingData(
        version="1.0",
        source="AzureStorageBlobs",
        content_type="application/json",
        content=json.dumps(where).encode(),
    )
    await worker.call("uploads", "upload", wire.TypedData(model_binding_data=data), with_client=True)
    ((instance, body),) = DurableApi.started.items()
    for timer in ("reconciler", "retention"):
        await worker.call(timer, "timer", wire.TypedData(json=json.dumps(_TIMER)), with_client=True)
    answer = await worker.call(
        _ORCHESTRATOR, "context", wire.TypedData(string=_first_episode(instance, body))
    )
    seen["episode"] = json.loads(answer.json or answer.string)
    # the one action of the first episode is a call with retries, which the SDK wraps
    call = seen["episode"]["actions"][0][0]["compoundActions"][0]
    answer = await worker.call(call["functionName"], "message", wire.TypedData(string=call["input"]))
    seen["activity"] = json.loads(answer.json or answer.string)
    seen["started"] = {instance: json.loads(json.loads(body))}
    return seen


def main() -> None:
    """Print what was seen."""
    # the app's folder, not this one, is where the app imports from
    sys.path[0] = str(Path.cwd())
    library.start_threadpool_executor()
    api = ThreadingHTTPServer(("127.0.0.1", 0), DurableApi)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    seen = asyncio.run(run(Library(f"http://127.0.0.1:{api.server_port}"), sys.argv[1]))
    sys.stdout.write("\n" + json.dumps(seen) + "\n")


if __name__ == "__main__":
    main()
