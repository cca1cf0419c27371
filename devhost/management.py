"""The durable management API that ``DurableOrchestrationClient`` calls; only for callers on this machine."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime

import durabletask.internal.orchestrator_service_pb2 as pb
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devhost.app import App
from devhost.backend import ENDED, STATUS_NAMES, Backend, BackendError, is_conflict
from devhost.instance_status import history_of, status_of
from devhost.invocation import PREFIX, management_urls
from devhost.local_api import BadRequestError, Handler, json_body, local_only, message

_ALL_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
# the extension's default, and what it tells a client to wait
_PAGE = 100
_NEXT_PAGE = "x-ms-continuation-token"
_STARTED_AFTER_S, _STATUS_AFTER_S = "10", "5"
_LONGEST_ID = 100
_NUMBERS = {name.lower(): number for number, name in STATUS_NAMES.items()}


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
            ("DELETE", "/entities/{name}/{key}", self.signal),
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
        return self._start(request, name, instance_id, body or None, request.query_params.get("version"))

    async def status(self, request: Request) -> Response:
        """Status of one instance: 202 while it runs, 200 (or 500, if asked for) when it has ended, 404."""
        instance_id = request.path_params["instance_id"]
        state = self._backend.get(instance_id)
        if state is None:
            return message("No instance with this id was found.", 404)
        show_input = _flag(request, "showInput", default=True)
        shown = status_of(state, show_input=show_input)
        if _flag(request, "showHistory", default=False):
            show_output = _flag(request, "showHistoryOutput", default=False)
            events = self._backend.history(instance_id)
            shown["historyEvents"] = history_of(events, show_input=show_input, show_output=show_output)
        if state.orchestrationStatus not in ENDED:
            return JSONResponse(shown, 202, {"Location": str(request.url), "Retry-After": _STATUS_AFTER_S})
        failed = state.orchestrationStatus == pb.ORCHESTRATION_STATUS_FAILED
        broken = failed and _flag(request, "returnInternalServerErrorOnFailure", default=False)
        return JSONResponse(shown, 500 if broken else 200)

    async def query(self, request: Request) -> Response:
        """Instances by state, time of creation and prefix."""
        found = self._find(request, request.query_params.get("instanceIdPrefix"))
        # a token names the first instance of its page
        after = _decoded(request.headers.get(_NEXT_PAGE, ""))
        found = [state for state in found if state.instanceId >= after]
        most = request.query_params.get("top", "")
        size = int(most) if most.isdigit() else _PAGE
        shown = _flag(request, "showInput", default=True)
        following = found[size].instanceId if size < len(found) else ""
        return JSONResponse(
            [status_of(state, show_input=shown) for state in found[:size]],
            headers={_NEXT_PAGE: base64.b64encode(following.encode()).decode()},
        )

    async def purge(self, request: Request) -> Response:
        """Purge one ended instance; 412 while it runs."""
        instance_id = request.path_params["instance_id"]
        state = self._backend.get(instance_id)
        if state is not None and state.orchestrationStatus not in ENDED:
            return message(f"The instance '{instance_id}' has not ended.", 412)
        return _purged(self._purge_ended([instance_id]))

    async def purge_many(self, request: Request) -> Response:
        """Purge the ended instances of a time span, which has to begin somewhere."""
        if not request.query_params.get("createdTimeFrom"):
            return message("Please provide value for 'createdTimeFrom' parameter.", 400)
        found = self._find(request, None)
        return _purged(self._purge_ended([state.instanceId for state in found]))

    async def raise_event(self, request: Request) -> Response:
        """Deliver an event: 202, 404, or 410 when the instance has ended."""
        instance_id = request.path_params["instance_id"]
        gone = self._gone(instance_id)
        if gone is not None:
            return gone
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return message("Only application/json request content is supported", 400)
        self._backend.raise_event(instance_id, request.path_params["event"], await json_body(request) or None)
        return JSONResponse(None, 202)

    async def act(self, request: Request) -> Response:
        """Terminate, suspend, resume, rewind or restart an instance."""
        instance_id, verb = request.path_params["instance_id"], request.path_params["verb"]
        reason = request.query_params.get("reason", "")
        if verb == "restart":
            return self._restart(request, instance_id)
        actions = {
            "terminate": self._backend.terminate,
            "suspend": self._backend.suspend,
            "resume": self._backend.resume,
            "rewind": self._backend.rewind,
        }
        if verb not in actions:
            return message(f"There is no action '{verb}'.", 404)
        state = self._backend.get(instance_id)
        refused = _refused(verb, state) if state is not None else JSONResponse(None, 404)
        if refused is not None:
            return refused
        actions[verb](instance_id, reason)
        return JSONResponse(None, 202)

    async def entity(self, request: Request) -> Response:
        """The state of an entity, 404."""
        state = self._backend.entity_state(_entity_id(request))
        return JSONResponse(None, 404) if state is None else JSONResponse(json.loads(state))

    async def signal(self, request: Request) -> Response:
        """Send an operation to an entity; 400 if the app has none of this name."""
        name = request.path_params["name"].lower()
        if name not in {each.lower() for each in self._app.of("entityTrigger")}:
            text = f"The function '{name}' doesn't exist, is disabled, or is not an entity function."
            return message(text, 400)
        operation = "delete" if request.method == "DELETE" else request.query_params.get("op", "")
        self._backend.signal_entity(_entity_id(request), operation, await json_body(request) or None)
        return JSONResponse(None, 202)

    def _start(
        self, request: Request, name: str, instance_id: str, given: str | None, version: str | None
    ) -> Response:
        try:
            self._backend.start(name, instance_id, given, version)
        except BackendError as error:
            if not is_conflict(error):
                raise
            return message("A non-terminal instance with this instance ID already exists.", 409)
        urls = management_urls(f"{request.url.scheme}://{request.url.netloc}", instance_id)
        headers = {"Location": urls["statusQueryGetUri"], "Retry-After": _STARTED_AFTER_S}
        return JSONResponse(urls, 202, headers)

    def _restart(self, request: Request, instance_id: str) -> Response:
        """Start another instance, or the same again, from the input of this one."""
        state = self._backend.get(instance_id)
        if state is None:
            return message(f"No instance with ID '{instance_id}' was found.", 400)
        again = uuid.uuid4().hex if _flag(request, "restartWithNewInstanceId", default=True) else instance_id
        given = state.input.value if state.HasField("input") else None
        return self._start(request, state.name, again, given, state.version.value or None)

    def _gone(self, instance_id: str) -> Response | None:
        state = self._backend.get(instance_id)
        if state is None:
            return JSONResponse(None, 404)
        return JSONResponse(None, 410) if state.orchestrationStatus in ENDED else None

    def _find(self, request: Request, prefix: str | None) -> list[pb.OrchestrationState]:
        query = request.query_params
        return self._backend.query(
            _statuses(query.get("runtimeStatus", "")),
            _time(query.get("createdTimeFrom")),
            _time(query.get("createdTimeTo")),
            prefix,
        )

    def _purge_ended(self, instance_ids: list[str]) -> int:
        purged = 0
        for instance_id in instance_ids:
            state = self._backend.get(instance_id)
            if state is not None and state.orchestrationStatus in ENDED:
                purged += self._backend.purge(instance_id)
        return purged


def _refused(verb: str, state: pb.OrchestrationState) -> Response | None:
    """What the extension says to ``verb`` in this state, None where it does it."""
    status = state.orchestrationStatus
    name = STATUS_NAMES[status]
    if verb == "rewind":
        text = f'This orchestration has status {name}, but only those in the "Failed" state can be rewound.'
        return None if status == pb.ORCHESTRATION_STATUS_FAILED else message(text, 412)
    if status in ENDED:
        return JSONResponse(None, 410)
    suspended = status == pb.ORCHESTRATION_STATUS_SUSPENDED
    if verb == ("suspend" if suspended else "resume"):
        text = f"Cannot {verb} the instance {state.instanceId} because it is in the {name} state."
        return message(text, 500)
    return None


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


def _decoded(token: str) -> str:
    """Raises ``BadRequestError``."""
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError as error:
        raise BadRequestError(f"The {_NEXT_PAGE} is not one of this host.") from error


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
