"""Each status that an operation declares is provoked once, and none is answered that is not declared."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import fastapi.routing
import httpx
import pytest
from fastapi import FastAPI
from jsonschema import ValidationError

from api import pace
from api.app import create_app
from api.durable import with_client
from api.v1 import me
from imagery.contracts import UPLOADS, BlobRef, JobState, Stage
from imagery.database.tables import ImageJob, utc_now
from imagery.principal import Role
from imagery.services import Services, get_services
from imagery.storage import LinkUnsupportedError
from imagery.telemetry.logs import configure_logging
from testbed.azurite import Azurite
from testbed.declared import Declared
from testbed.pictures import encoded
from testbed.services import forget
from tests.lifecycle.jobs import complete, make_job

PICTURE = encoded("JPEG")
FILE = {"file": ("p.jpg", PICTURE, "image/jpeg")}
ANOTHER = {"file": ("p.png", encoded("PNG"), "image/png")}
NOBODY = "no-such-id"
UPLOAD = {"filename": "p.jpg", "content_type": "image/jpeg", "size": 1000}
DEEP = {"content": b"[" * 200_000, "headers": {"Content-Type": "application/json"}}
TOO_LONG = {"Content-Length": str(10**12), "Content-Type": "application/json"}


async def in_chunks() -> AsyncIterator[bytes]:
    """A body whose length nobody knows beforehand."""
    yield b"{}"


class DurableClient:
    """Takes every orchestration and runs none."""

    async def start_new(self, *_: Any) -> str:
        return "started"

    async def terminate(self, *_: Any) -> None:
        return None

    async def get_status(self, *_: Any) -> None:
        return None


@dataclass
class World:
    """The app over SQLite and Azurite, and a caller of each role."""

    app: FastAPI
    services: Services
    keys: dict[Role, str]

    def call(self, method: str, path: str, role: Role | None = Role.ADMIN, **more: Any) -> httpx.Response:
        key = more.pop("key", None) or (self.keys[role] if role else None)
        headers = {**({"X-API-Key": key} if key else {}), **more.pop("headers", {})}

        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(go())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.call("GET", f"/api/v1{path}", **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.call("POST", f"/api/v1{path}", **more)

    def upload(self) -> str:
        """A new blob in ``uploads``."""
        name = f"{uuid.uuid4()}.jpg"
        return self.services.storage.write(BlobRef(container=UPLOADS, name=name), PICTURE, "image/jpeg").path

    def session(self) -> str:
        """The id of an administrator's session."""
        opened = self.services.sessions.open(self.keys[Role.ADMIN], timedelta(hours=1))
        assert opened is not None
        return opened[1]

    def key_of(self, **limits: Any) -> str:
        """The key of a new user with these quotas."""
        name = uuid.uuid4().hex
        _, key = self.services.users.create(name, Role.USER)
        self.services.users.change(name, **limits)
        return key

    def job(self, state: JobState = JobState.FAILED, **more: Any) -> str:
        made = make_job(self.services, **more)
        self.services.jobs.finish(made.job_id, 1, state, error_code="stage_failed", message="It failed.")
        return made.job_id

    def completed(self) -> str:
        made = make_job(self.services)
        complete(self.services, made)
        return made.job_id

    def expired(self) -> str:
        job_id = self.job()
        with self.services.database.write() as session:
            row = session.get(ImageJob, job_id)
            assert row is not None
            row.expired_at = utc_now()
        return job_id

    def unpaid(self) -> str:
        """A job whose paid call was sent and lost."""
        made = make_job(self.services)
        ledger = self.services.ledger
        entry = ledger.reserve(made.job_id, 1, Stage.NANO_BANANA, 0.04).entry_id
        ledger.mark_sent(entry, 1)
        ledger.mark_unknown(entry, "no answer")
        self.services.jobs.finish(made.job_id, 1, JobState.FAILED)
        return made.job_id

    def batch(self, **more: Any) -> str:
        made = self.post("/batches", json={"items": [{"blob": self.upload()}]}, **more)
        assert made.status_code == 202, made.text
        return str(made.json()["batch_id"])


@pytest.fixture(scope="module")
def world(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("statuses")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENV", "PROD")
        patch.setenv("AzureWebJobsStorage", azurite.connection_string)
        patch.setenv("DATABASE_URL", f"sqlite:///{folder / 'imagery.db'}")
        patch.setenv("WEBHOOK_SIGNING_KEY", "a signing key of the tests, long enough")
        patch.setenv("LONG_POLL", "logs_s=0")
        patch.setenv("QUOTA", "jobs_per_minute=100000")
        patch.setenv("GPU_SERVICE_URL", "http://127.0.0.1:9")
        forget()
        # unconfigured, the log draws each error with the values of all variables, for seconds
        configure_logging("ERROR")
        services = get_services()
        keys = {role: services.users.create(role.value, role)[1] for role in Role}
        with with_client(DurableClient()):  # no more of a client is needed
            yield World(create_app(), services, keys)
        services.guardrail.close()
        services.database.engine.dispose()
        forget()


@pytest.fixture(scope="module")
def declared(world: World) -> Declared:
    return Declared(world.app.openapi())


def submitted(world: World) -> str:
    """A job that came as a file."""
    return str(world.post("/process", files=FILE).json()["job_id"])


def twice(world: World, path: str, requests: list[dict[str, Any]]) -> httpx.Response:
    """The second answer to two requests under one key."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    return [world.post(path, headers=key, **request) for request in requests][1]


def retried_by(world: World, **limits: Any) -> httpx.Response:
    name = uuid.uuid4().hex
    user, key = world.services.users.create(name, Role.USER)
    job_id = world.job(owner_id=user.user_id)
    world.services.users.change(name, **limits)
    return world.post(f"/jobs/{job_id}/retry", key=key)


def too_often(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer to the second of two requests where one a minute is allowed."""
    with pytest.MonkeyPatch.context() as patch:
        for each in (pace.validations, pace.verifications, pace.thumbnails):
            patch.setattr(each, "_limit", 1)
        ask()
        return ask()


def without_links(world: World) -> httpx.Response:
    def refuse(*_: Any) -> str:
        raise LinkUnsupportedError("files have none")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.services.storage, "write_link", refuse)
        return world.post("/uploads", json=UPLOAD)


def without_signing_key(world: World) -> httpx.Response:
    whole = world.services.settings
    without = whole.model_copy(update={"callbacks": whole.callbacks.model_copy(update={"signing_key": None})})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(me, "get_services", lambda: replace(world.services, settings=without))
        return world.get("/me/webhook-secret")


def without_database(world: World, method: str, path: str, **more: Any) -> httpx.Response:
    def fail(*_: Any) -> None:
        raise OSError("the database is away")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.services.database, "read", fail)
        patch.setattr(world.services.users, "authenticate", fail)
        return world.call(method, path, **more)


Request = Callable[[World], httpx.Response]

# a request of each operation that succeeds, with the status of its success
GOOD: dict[tuple[str, int], Request] = {
    ("submit_job", 202): lambda w: w.post("/process", files=FILE),
    ("get_job_status", 200): lambda w: w.get(f"/status/{w.job()}"),
    ("list_jobs", 200): lambda w: w.get("/jobs"),
    ("cancel_job", 200): lambda w: w.post(f"/jobs/{make_job(w.services).job_id}/cancel"),
    ("retry_job", 202): lambda w: w.post(f"/jobs/{w.job()}/retry"),
    ("get_guardrail_verdict", 200): lambda w: w.get(f"/jobs/{submitted(w)}/guardrail"),
    ("get_provenance", 200): lambda w: w.get(f"/jobs/{w.completed()}/provenance"),
    ("get_image", 302): lambda w: w.get(f"/jobs/{w.completed()}/images/rembg"),
    ("get_spend", 200): lambda w: w.get("/spend"),
    ("get_spend_table", 200): lambda w: w.get("/spend.csv"),
    ("get_quote", 200): lambda w: w.post("/quote", json={"count": 3}),
    ("resolve_payment", 200): lambda w: w.post(f"/jobs/{w.unpaid()}/spend/resolve", json={"charged": True}),
    ("create_upload", 201): lambda w: w.post("/uploads", json=UPLOAD),
    ("get_guardrail_limits", 200): lambda w: w.get("/guardrail/limits"),
    ("validate_image", 200): lambda w: w.post("/guardrail/validate", files=FILE),
    ("verify_file", 200): lambda w: w.post("/provenance/verify", files=FILE),
    ("list_batches", 200): lambda w: w.get("/batches"),
    ("create_batch", 202): lambda w: w.post("/batches", json={"items": [{"blob": w.upload()}]}),
    ("get_batch", 200): lambda w: w.get(f"/batches/{w.batch()}"),
    ("cancel_batch", 200): lambda w: w.post(f"/batches/{w.batch()}/cancel"),
    ("get_metrics", 200): lambda w: w.get("/metrics"),
    ("read_logs", 200): lambda w: w.get("/logs"),
    ("list_circuit_breakers", 200): lambda w: w.get("/circuit-breakers"),
    ("set_circuit_breaker", 200): lambda w: w.post("/circuit-breakers/gpu", json={"state": "closed"}),
    ("get_me", 200): lambda w: w.get("/me"),
    ("get_webhook_secret", 200): lambda w: w.get("/me/webhook-secret"),
    ("list_users", 200): lambda w: w.get("/users"),
    ("sign_in", 200): lambda w: w.post("/session", json={"key": w.keys[Role.USER]}, role=None),
    ("sign_out", 204): lambda w: w.call("DELETE", "/api/v1/session"),
    ("get_health", 200): lambda w: w.call("GET", "/healthz"),
}

OTHERS: dict[tuple[str, int], Request] = {
    ("submit_job", 200): lambda w: twice(w, "/process", [{"files": FILE}] * 2),
    ("submit_job", 400): lambda w: w.post("/process", **DEEP),
    ("submit_job", 402): lambda w: w.post("/process", files=FILE, key=w.key_of(usd_per_day=0.0)),
    ("submit_job", 404): lambda w: w.post("/process", json={"blob": "uploads/nothing-there"}),
    ("submit_job", 409): lambda w: twice(w, "/process", [{"files": FILE}, {"files": ANOTHER}]),
    ("submit_job", 415): lambda w: w.post("/process", content=b"hello"),
    ("submit_job", 422): lambda w: w.post("/process", json={}),
    ("submit_job", 429): lambda w: w.post("/process", files=FILE, key=w.key_of(concurrent_jobs=0)),
    ("list_jobs", 304): lambda w: unchanged(w, "/jobs"),
    ("list_batches", 304): lambda w: unchanged(w, "/batches"),
    ("get_batch", 304): lambda w: unchanged(w, f"/batches/{w.batch()}"),
    ("get_batch", 422): lambda w: w.get(f"/batches/{w.batch()}?limit=9999"),
    ("get_job_status", 404): lambda w: w.get(f"/status/{NOBODY}"),
    ("get_job_status", 422): lambda w: w.get(f"/status/{NOBODY}?wait=-1"),
    ("list_jobs", 422): lambda w: w.get("/jobs?cursor=nonsense"),
    ("cancel_job", 404): lambda w: w.post(f"/jobs/{NOBODY}/cancel"),
    ("retry_job", 402): lambda w: retried_by(w, usd_per_day=0.0),
    ("retry_job", 404): lambda w: w.post(f"/jobs/{NOBODY}/retry"),
    ("retry_job", 409): lambda w: w.post(f"/jobs/{w.completed()}/retry"),
    ("retry_job", 429): lambda w: retried_by(w, concurrent_jobs=0),
    ("get_guardrail_verdict", 404): lambda w: w.get(f"/jobs/{w.job()}/guardrail"),
    ("get_image", 200): lambda w: w.get(f"/jobs/{submitted(w)}/images/source?width=32"),
    ("get_provenance", 404): lambda w: w.get(f"/jobs/{w.job()}/provenance"),
    ("get_provenance", 410): lambda w: w.get(f"/jobs/{w.expired()}/provenance"),
    ("get_provenance", 429): lambda w: too_often(lambda: w.get(f"/jobs/{w.completed()}/provenance")),
    ("get_image", 404): lambda w: w.get(f"/jobs/{w.job()}/images/rembg"),
    ("get_image", 410): lambda w: w.get(f"/jobs/{w.expired()}/images/rembg"),
    ("get_image", 422): lambda w: w.get(f"/jobs/{w.job()}/images/painting"),
    ("get_image", 429): lambda w: too_often(lambda: w.get(f"/jobs/{w.completed()}/images/rembg?width=32")),
    ("get_spend", 422): lambda w: w.get("/spend?days=0"),
    ("get_spend_table", 422): lambda w: w.get("/spend.csv?limit=0"),
    ("get_quote", 400): lambda w: w.post("/quote", **DEEP),
    ("get_quote", 422): lambda w: w.post("/quote", json={"count": 0}),
    ("resolve_payment", 400): lambda w: w.post(f"/jobs/{NOBODY}/spend/resolve", **DEEP),
    ("resolve_payment", 404): lambda w: w.post(f"/jobs/{NOBODY}/spend/resolve", json={"charged": True}),
    ("resolve_payment", 409): lambda w: w.post(f"/jobs/{w.job()}/spend/resolve", json={"charged": True}),
    ("resolve_payment", 422): lambda w: w.post(f"/jobs/{NOBODY}/spend/resolve", json={}),
    ("create_upload", 400): lambda w: w.post("/uploads", **DEEP),
    ("create_upload", 402): lambda w: w.post("/uploads", json=UPLOAD, key=w.key_of(usd_per_day=0.0)),
    ("create_upload", 409): without_links,
    ("create_upload", 422): lambda w: w.post("/uploads", json={}),
    ("create_upload", 429): lambda w: w.post("/uploads", json=UPLOAD, key=w.key_of(concurrent_jobs=0)),
    ("validate_image", 400): lambda w: w.post(
        "/guardrail/validate", content=b"no boundary", headers={"Content-Type": "multipart/form-data"}
    ),
    ("validate_image", 429): lambda w: too_often(
        lambda: w.post("/guardrail/validate", files=FILE, role=Role.USER)
    ),
    ("validate_image", 422): lambda w: w.post("/guardrail/validate", data={"prompt": "a"}),
    ("verify_file", 400): lambda w: w.post(
        "/provenance/verify", content=b"no boundary", headers={"Content-Type": "multipart/form-data"}
    ),
    ("verify_file", 422): lambda w: w.post("/provenance/verify", data={"prompt": "a"}),
    ("verify_file", 429): lambda w: too_often(
        lambda: w.post("/provenance/verify", files=FILE, role=Role.USER)
    ),
    ("list_batches", 422): lambda w: w.get("/batches?cursor=nonsense"),
    ("create_batch", 200): lambda w: twice(w, "/batches", [{"json": {"items": [{"blob": w.upload()}]}}] * 2),
    ("create_batch", 400): lambda w: w.post("/batches", **DEEP),
    ("create_batch", 402): lambda w: w.post(
        "/batches", json={"items": [{"blob": w.upload()}], "max_usd": 0.01}
    ),
    ("create_batch", 409): lambda w: twice(
        w, "/batches", [{"json": {"items": [{"blob": w.upload()}]}} for _ in range(2)]
    ),
    ("create_batch", 422): lambda w: w.post("/batches", json={"items": [{"blob": "uploads/nothing"}]}),
    ("create_batch", 429): lambda w: w.post(
        "/batches", json={"items": [{"blob": "uploads/x"}]}, key=w.key_of(concurrent_jobs=0)
    ),
    ("get_batch", 404): lambda w: w.get(f"/batches/{NOBODY}"),
    ("cancel_batch", 404): lambda w: w.post(f"/batches/{NOBODY}/cancel"),
    ("read_logs", 404): lambda w: w.get(f"/logs?job_id={NOBODY}"),
    ("read_logs", 422): lambda w: w.get("/logs?level=loud"),
    ("set_circuit_breaker", 400): lambda w: w.post("/circuit-breakers/gpu", **DEEP),
    ("set_circuit_breaker", 422): lambda w: w.post("/circuit-breakers/sun", json={"state": "open"}),
    ("get_webhook_secret", 422): without_signing_key,
    ("list_users", 403): lambda w: w.get("/users", role=Role.USER),
    ("sign_in", 400): lambda w: w.post("/session", role=None, **DEEP),
    ("sign_in", 401): lambda w: w.post("/session", json={"key": "igp_wrong"}, role=None),
    ("sign_in", 422): lambda w: w.post("/session", json={}, role=None),
    ("get_health", 403): lambda w: w.call("GET", "/healthz?probe=true", role=Role.USER),
    ("get_health", 422): lambda w: w.call("GET", "/healthz?probe=perhaps"),
    ("get_health", 503): lambda w: without_database(w, "GET", "/healthz"),
}


def unchanged(world: World, path: str) -> httpx.Response:
    """The second answer, to whoever has the first."""
    return world.get(path, headers={"If-None-Match": world.get(path).headers["ETag"]})


def path_of(operation: dict[str, Any]) -> tuple[str, str]:
    """Method and path of an operation, with something in place of each parameter."""
    values = {"job_id": NOBODY, "batch_id": NOBODY, "stage": "rembg", "dependency": "gpu"}
    return operation["method"].upper(), operation["path"].format(**values)


def unforeseen(world: World, operation: str) -> httpx.Response:
    """A good request of the operation, whose function breaks."""
    good = next(request for (name, _), request in GOOD.items() if name == operation)
    whole = fastapi.routing.run_endpoint_function

    async def broken(*, dependant: Any, **more: Any) -> Any:
        # what the request needs beforehand is made by routes that work
        if dependant.call.__name__ == operation:
            raise RuntimeError("nobody foresaw this")
        return await whole(dependant=dependant, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastapi.routing, "run_endpoint_function", broken)
        return good(world)


# what the app does before or around every route
COMMON: dict[int, Callable[[World, str, dict[str, Any]], httpx.Response]] = {
    401: lambda w, _, operation: w.call(*path_of(operation), role=None),
    403: lambda w, _, operation: w.call(
        *path_of(operation),
        role=None,
        headers={"Cookie": f"imagery_session={w.session()}", "Origin": "https://evil.example"},
    ),
    411: lambda w, _, operation: w.call(*path_of(operation), content=in_chunks()),
    413: lambda w, _, operation: w.call(*path_of(operation), headers=TOO_LONG, content=b"x"),
    500: lambda w, name, _: unforeseen(w, name),
    503: lambda w, _, operation: without_database(w, *path_of(operation)),
}


def test_each_declared_status_is_answered_and_nothing_else(world: World, declared: Declared) -> None:
    table = {**GOOD, **OTHERS}
    wrong: list[str] = []
    for name, status in sorted(declared.statuses):
        operation = declared.operations[name]
        if (name, status) in table:
            answer = table[name, status](world)
        elif status in COMMON:
            answer = COMMON[status](world, name, operation)
        else:
            wrong.append(f"{name} declares {status}, which no request here provokes")
            continue
        called = declared.operation_of(answer.request)
        if called is None or called["operationId"] != name or answer.status_code != status:
            wrong.append(f"{name} declares {status}, but answered {answer.status_code}: {answer.text[:200]}")
            continue
        try:
            declared.check(answer)
        except (AssertionError, ValidationError) as error:
            wrong.append(f"{name} {status}: {error}")
    assert wrong == []
    assert table.keys() - declared.statuses == set()
