"""The durable management API that ``DurableOrchestrationClient`` calls; only for callers on this machine."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from datetime import UTC, datetime

import durabletask.internal.orchestrator_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devhost.app import App
from devhost.backend import ENDED, STATUS_NAMES, Backend, BackendError, is_conflict
from devhost.instance_status import status_of
from devhost.local_api import BadRequestError, Handler, json_body, local_only, message

PREFIX = "/runtime/webhooks/durabletask"
_ALL_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
_MOST_INSTANCES = 1000
_LONGEST_ID = 100
_NUMBERS = {name.lower(): number for number, name in STATUS_NAMES.items()}
# these can't be rewound: only what failed can
_NOT_REWOUND = ENDED - {pb.ORCHESTRATION_STATUS_FAILED}


class Management:
    """The HTTP routes of the management API over the backend."""

    def __init__(self, app: App, backend: Backend) -> None:
        self._app = app
        self._backend = backend

    def routes(self) -> list[Route]:
        """Everything below ``PREFIX``."""
        table: list[tuple[str, str, Handler]] = [
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
        routes = [
            Route(PREFIX + path, local_only(handler), methods=[method]) for method, path, handler in table
        ]
        # no other path below the prefix may reach the app's functions
        return [*routes, Route(PREFIX + "/{rest:path}", local_only(_nothing), methods=_ALL_METHODS)]

    async def start(self, request: Request) -> Response:
        """Start an instance: 202, 400 for an unknown orchestrator, 409 while the id is running."""
        name = request.path_params["name"]
        if name not in self._app.of("orchestrationTrigger"):
            text = f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function."
            return message(text, 400)
        instance_id = _checked_id(request.path_params.get("instance_id") or uuid.uuid4().hex)
        body = await json_body(request)
        try:
            self._backend.start(name, instance_id, body or None, request.query_params.get("version"))
        except BackendError as error:
            if not is_conflict(error):
                raise
            return message(f"An Orchestration instance {instance_id} is already running.", 409)
        return JSONResponse({"id": instance_id}, 202)

    async def status(self, request: Request) -> Response:
        """Status of one instance: 202 while it runs, 200 when it has ended, 404."""
        state = self._backend.get(request.path_params["instance_id"])
        if state is None:
            return message("No instance with this id was found.", 404)
        ended = state.orchestrationStatus in ENDED
        return JSONResponse(
            status_of(state, show_input=_flag(request, "showInput", default=True)), 200 if ended else 202
        )

    async def query(self, request: Request) -> Response:
        """Instances by state, time of creation and prefix."""
        found = self._find(request, request.query_params.get("instanceIdPrefix"))
        shown = _flag(request, "showInput", default=True)
        return JSONResponse([status_of(state, show_input=shown) for state in found])

    async def purge(self, request: Request) -> Response:
        """Purge one ended instance; 412 while it runs."""
        instance_id = request.path_params["instance_id"]
        state = self._backend.get(instance_id)
        if state is not None and state.orchestrationStatus not in ENDED:
            return message(f"The instance '{instance_id}' has not ended.", 412)
        return _purged(self._purge_ended([instance_id]))

    async def purge_many(self, request: Request) -> Response:
        """Purge the ended instances of a time span."""
        found = self._find(request, None)
        return _purged(self._purge_ended([state.instanceId for state in found]))

    async def raise_event(self, request: Request) -> Response:
        """Deliver an event: 202, 404, or 410 when the instance has ended."""
        instance_id = request.path_params["instance_id"]
        gone = self._gone(instance_id)
        if gone is not None:
            return gone
        self._backend.raise_event(instance_id, request.path_params["event"], await json_body(request) or None)
        return JSONResponse(None, 202)

    async def act(self, request: Request) -> Response:
        """Terminate, suspend, resume, rewind or restart an instance."""
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
            return message(f"There is no action '{verb}'.", 404)
        gone = self._gone(instance_id, _NOT_REWOUND if verb == "rewind" else ENDED)
        if gone is not None:
            return gone
        actions[verb](instance_id, reason)
        return JSONResponse(None, 202)

    async def entity(self, request: Request) -> Response:
        """The state of an entity, 404."""
        state = self._backend.entity_state(_entity_id(request))
        return JSONResponse(None, 404) if state is None else JSONResponse(json.loads(state))

    async def signal(self, request: Request) -> Response:
        """Send an operation to an entity."""
        operation = request.query_params.get("op", "")
        self._backend.signal_entity(_entity_id(request), operation, await json_body(request) or None)
        return JSONResponse(None, 202)

    def _restart(self, instance_id: str, *, new_id: bool) -> Response:
        if self._backend.get(instance_id) is None:
            return JSONResponse(None, 404)
        return JSONResponse({"id": self._backend.restart(instance_id, new_id=new_id)}, 202)

    def _gone(self, instance_id: str, gone: Collection[int] = ENDED) -> Response | None:
        state = self._backend.get(instance_id)
        if state is None:
            return JSONResponse(None, 404)
        return JSONResponse(None, 410) if state.orchestrationStatus in gone else None

    def _find(self, request: Request, prefix: str | None) -> list[pb.OrchestrationState]:
        query = request.query_params
        most = query.get("top", "")
        return self._backend.query(
            _statuses(query.get("runtimeStatus", "")),
            _time(query.get("createdTimeFrom")),
            _time(query.get("createdTimeTo")),
            prefix,
            min(int(most), _MOST_INSTANCES) if most.isdigit() and int(most) else _MOST_INSTANCES,
        )

    def _purge_ended(self, instance_ids: list[str]) -> int:
        purged = 0
        for instance_id in instance_ids:
            state = self._backend.get(instance_id)
            if state is not None and state.orchestrationStatus in ENDED:
                purged += self._backend.purge(instance_id)
        return purged


async def _nothing(request: Request) -> Response:
    return message(f"There is no {request.method} {request.url.path}.", 404)


def _checked_id(instance_id: str) -> str:
    """Refuse what the cloud refuses. Raises ``BadRequestError``."""
    if len(instance_id) > _LONGEST_ID or instance_id.startswith("@"):
        raise BadRequestError(f"An instance id has at most {_LONGEST_ID} characters and no leading '@'.")
    if any(character in "/\\#?" or not character.isprintable() for character in instance_id):
        raise BadRequestError("An instance id must not contain '/', '\\', '#', '?' or control characters.")
    return instance_id


def _statuses(text: str) -> list[pb.OrchestrationStatus]:
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in _NUMBERS]
    if unknown:
        # ignored, it would match every instance, and a purge would delete them all
        raise BadRequestError(f"There is no runtime status '{unknown[0]}'.")
    return [_NUMBERS[name] for name in names]


def _purged(count: int) -> Response:
    return JSONResponse({"instancesDeleted": count}, 200 if count else 404)


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise BadRequestError(f"'{text}' is not an ISO 8601 time.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _flag(request: Request, name: str, *, default: bool) -> bool:
    text = request.query_params.get(name)
    return default if text is None else text.lower() == "true"


def _entity_id(request: Request) -> str:
    return f"@{request.path_params['name'].lower()}@{request.path_params['key']}"
