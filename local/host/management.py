"""The durable management API that ``DurableOrchestrationClient`` calls; only for callers on this machine."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.host.app import App
from local.host.backend import ENDED, STATUS_NAMES, Backend, BackendError, is_conflict

PREFIX = "/runtime/webhooks/durabletask"
_MOST_INSTANCES = 1000
_MAX_BODY = 16 * 1024 * 1024
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_NUMBERS = {name: number for number, name in STATUS_NAMES.items()}
_Handler = Callable[[Request], Awaitable[Response]]


class Management:
    """Routes over the backend."""

    def __init__(self, app: App, backend: Backend) -> None:
        self._app = app
        self._backend = backend

    def routes(self) -> list[Route]:
        """Everything below ``PREFIX``."""
        table: list[tuple[str, str, _Handler]] = [
            ("POST", "/orchestrators/{name}", self.start),
            ("POST", "/orchestrators/{name}/{instance_id}", self.start),
            ("GET", "/instances", self.query),
            ("GET", "/instances/", self.query),
            ("DELETE", "/instances", self.purge_many),
            ("DELETE", "/instances/", self.purge_many),
            ("GET", "/instances/{instance_id}", self.status),
            ("DELETE", "/instances/{instance_id}", self.purge),
            ("POST", "/instances/{instance_id}/raiseEvent/{event}", self.raise_event),
            ("POST", "/instances/{instance_id}/{verb}", self.act),
            ("GET", "/entities/{name}/{key}", self.entity),
            ("POST", "/entities/{name}/{key}", self.signal),
        ]
        return [Route(PREFIX + path, _local(handler), methods=[method]) for method, path, handler in table]

    async def start(self, request: Request) -> Response:
        """Start an instance: 202, 400 for an unknown orchestrator, 409 while the id is running."""
        name = request.path_params["name"]
        if name not in self._app.of("orchestrationTrigger"):
            message = f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function."
            return JSONResponse({"Message": message, "ExceptionMessage": message}, 400)
        instance_id = request.path_params.get("instance_id") or uuid.uuid4().hex
        body = await _body(request)
        try:
            self._backend.start(name, instance_id, body or None, request.query_params.get("version"))
        except BackendError as error:
            if is_conflict(error):
                message = f"An Orchestration instance with the status Running already exists: {instance_id}"
                return JSONResponse({"Message": message, "ExceptionMessage": message}, 409)
            raise
        return JSONResponse({"id": instance_id}, 202)

    async def status(self, request: Request) -> Response:
        """One instance: 202 while it runs, 200 when it has ended, 404."""
        state = self._backend.get(request.path_params["instance_id"])
        if state is None:
            return JSONResponse({"Message": "No instance with this id was found."}, 404)
        ended = state.orchestrationStatus in ENDED
        return JSONResponse(
            _state(state, show_input=_flag(request, "showInput", default=True)), 200 if ended else 202
        )

    async def query(self, request: Request) -> Response:
        """Instances by state, time of creation and prefix."""
        query = request.query_params
        names = [name for name in query.get("runtimeStatus", "").split(",") if name]
        found = self._backend.query(
            [_NUMBERS[name] for name in names if name in _NUMBERS],
            _time(query.get("createdTimeFrom")),
            _time(query.get("createdTimeTo")),
            query.get("instanceIdPrefix"),
            _MOST_INSTANCES,
        )
        shown = _flag(request, "showInput", default=True)
        return JSONResponse([_state(state, show_input=shown) for state in found])

    async def purge(self, request: Request) -> Response:
        """Forget one ended instance."""
        return _purged(self._purge_ended([request.path_params["instance_id"]]))

    async def purge_many(self, request: Request) -> Response:
        """Forget the ended instances of a time span."""
        query = request.query_params
        names = [name for name in query.get("runtimeStatus", "").split(",") if name]
        found = self._backend.query(
            [_NUMBERS[name] for name in names if name in _NUMBERS],
            _time(query.get("createdTimeFrom")),
            _time(query.get("createdTimeTo")),
            None,
            _MOST_INSTANCES,
        )
        return _purged(self._purge_ended([state.instanceId for state in found]))

    async def raise_event(self, request: Request) -> Response:
        """Deliver an event: 202, 404, or 410 when the instance has ended."""
        instance_id = request.path_params["instance_id"]
        gone = self._gone(instance_id)
        if gone is not None:
            return gone
        self._backend.raise_event(instance_id, request.path_params["event"], await _body(request) or None)
        return JSONResponse(None, 202)

    async def act(self, request: Request) -> Response:
        """terminate, suspend, resume, rewind, restart."""
        instance_id, verb = request.path_params["instance_id"], request.path_params["verb"]
        reason = request.query_params.get("reason", "")
        if verb == "restart":
            return self._restart(instance_id, new_id=_flag(request, "restartWithNewInstanceId", default=True))
        actions = {
            "terminate": self._backend.terminate,
            "suspend": self._backend.suspend,
            "resume": self._backend.resume,
            "rewind": self._backend.rewind,
        }
        if verb not in actions:
            return JSONResponse({"Message": f"There is no action '{verb}'."}, 404)
        gone = self._gone(instance_id, ended_is_gone=verb != "rewind")
        if gone is not None:
            return gone
        actions[verb](instance_id, reason)
        return JSONResponse(None, 202)

    async def entity(self, request: Request) -> Response:
        """The state of an entity."""
        state = self._backend.entity_state(_entity_id(request))
        return JSONResponse(None, 404) if state is None else JSONResponse(json.loads(state))

    async def signal(self, request: Request) -> Response:
        """Send an operation to an entity."""
        operation = request.query_params.get("op", "")
        self._backend.signal_entity(_entity_id(request), operation, await _body(request) or None)
        return JSONResponse(None, 202)

    def _restart(self, instance_id: str, *, new_id: bool) -> Response:
        if self._backend.get(instance_id) is None:
            return JSONResponse(None, 404)
        return JSONResponse({"id": self._backend.restart(instance_id, new_id=new_id)}, 202)

    def _gone(self, instance_id: str, *, ended_is_gone: bool = True) -> Response | None:
        state = self._backend.get(instance_id)
        if state is None:
            return JSONResponse(None, 404)
        if ended_is_gone and state.orchestrationStatus in ENDED:
            return JSONResponse(None, 410)
        return None

    def _purge_ended(self, instance_ids: list[str]) -> int:
        purged = 0
        for instance_id in instance_ids:
            state = self._backend.get(instance_id)
            if state is not None and state.orchestrationStatus in ENDED:
                purged += self._backend.purge(instance_id)
        return purged


def _local(handler: _Handler) -> _Handler:
    async def guarded(request: Request) -> Response:
        if request.client is None or request.client.host not in _LOOPBACK:
            return JSONResponse({"Message": "only callers on this machine"}, 403)
        return await handler(request)

    return guarded


def _purged(count: int) -> Response:
    return JSONResponse({"instancesDeleted": count}, 200 if count else 404)


async def _body(request: Request) -> str:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _MAX_BODY:
            raise ValueError("the body is too large")
        chunks.append(chunk)
    return b"".join(chunks).decode()


def _state(state: pb.OrchestrationState, *, show_input: bool) -> dict[str, Any]:
    failed = state.HasField("failureDetails") and state.failureDetails.errorMessage
    output = state.failureDetails.errorMessage if failed else _parsed(state, "output")
    shown = {
        "name": state.name,
        "instanceId": state.instanceId,
        "runtimeStatus": STATUS_NAMES[state.orchestrationStatus],
        "customStatus": _parsed(state, "customStatus"),
        "output": output,
        "createdTime": _iso(state.createdTimestamp),
        "lastUpdatedTime": _iso(state.lastUpdatedTimestamp),
    }
    return shown | {"input": _parsed(state, "input") if show_input else None}


def _parsed(state: pb.OrchestrationState, name: str) -> Any:
    if not state.HasField(name):  # type: ignore[arg-type]
        return None
    text = getattr(state, name).value
    try:
        return json.loads(text)
    except ValueError:
        return text


def _iso(stamp: Any) -> str:
    return f"{stamp.ToDatetime().isoformat(timespec='microseconds')}Z"


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _flag(request: Request, name: str, *, default: bool) -> bool:
    text = request.query_params.get(name)
    return default if text is None else text.lower() == "true"


def _entity_id(request: Request) -> str:
    return f"@{request.path_params['name'].lower()}@{request.path_params['key']}"
