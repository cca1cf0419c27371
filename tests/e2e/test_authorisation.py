"""Every route for every kind of caller: nobody sees, or stops, another's work."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from api.app import create_app
from imagery.api_keys import new_key, split_key
from imagery.contracts import UPLOADS, BlobRef
from imagery.environment import read
from imagery.principal import Role
from imagery.settings import Settings
from imagery.storage import make_storage
from testbed.pictures import encoded
from testbed.stack import Stack
from tests.orchestrators.replay import load_app

AGAIN = {"prompt": "on oak"}
STRANGERS = ("no key", "bad key", "revoked key")
CALLERS = (*STRANGERS, "owner", "other user", "operator", "admin")


@dataclass(frozen=True)
class World:
    """A job, a batch and an upload of one user, and a client for every kind of caller."""

    clients: dict[str, httpx.Client]
    job_id: str
    batch_id: str
    blob: str
    users: dict[str, str]


@pytest.fixture(scope="module")
def world(stack: Stack, photo: bytes) -> Iterator[World]:
    users = stack.users()
    keys: dict[str, str | None] = {"no key": None, "bad key": new_key().text}
    ids: dict[str, str] = {}
    roles = {"owner": Role.USER, "other user": Role.USER, "operator": Role.OPERATOR, "admin": Role.ADMIN}
    for name, role in {**roles, "revoked key": Role.ADMIN}.items():
        user, keys[name] = users.create(f"{name} {uuid.uuid4().hex[:8]}", role)
        ids[name] = user.user_id
    parts = split_key(keys["revoked key"] or "")
    assert parts is not None
    users.revoke(parts[0])
    clients = {name: stack.client_of(keys[name]) for name in CALLERS}
    owner = clients["owner"]
    accepted = owner.post("/api/v1/process", files={"file": ("p.jpg", photo, "image/jpeg")})
    assert accepted.status_code == 202, accepted.text
    job_id = accepted.json()["job_id"]
    blob = upload(stack, ids["owner"], encoded("JPEG", size=(96, 96)))
    first = owner.post("/api/v1/process", json=AGAIN | {"blob": blob})
    assert first.status_code == 202, first.text
    batch = owner.post("/api/v1/batches", json={"items": [{"blob": blob, "prompt": "on a shelf"}]})
    assert batch.status_code == 202, batch.text
    stack.wait_for_end(job_id)
    # somebody else's, so that everybody's is more than one's own
    stack.wait_for_end(stack.submit(photo, prompt="on a window sill"))
    yield World(clients, job_id, batch.json()["batch_id"], blob, ids)
    for client in clients.values():
        client.close()


def upload(stack: Stack, owner_id: str, data: bytes) -> str:
    """A blob as a link of ours would have put it there."""
    store = make_storage(read(Settings, stack.environment))
    ref = BlobRef(container=UPLOADS, name=f"{owner_id}/{uuid.uuid4()}/p.jpg")
    store.write(ref, data, "image/jpeg")
    return ref.path


Call = Callable[[httpx.Client, World], httpx.Response]
PICTURE = encoded("PNG", size=(80, 80))
NEW_UPLOAD = {"filename": "a.png", "content_type": "image/png", "size": 100}


# what each route is asked, and what it answers to owner, other user, operator and admin
ROUTES: dict[tuple[str, str], tuple[Call, tuple[int, int, int, int]]] = {
    ("post", "/api/v1/process"): (
        lambda client, world: client.post("/api/v1/process", json=AGAIN | {"blob": world.blob}),
        (200, 404, 200, 200),
    ),
    ("get", "/api/v1/status/{job_id}"): (
        lambda client, world: client.get(f"/api/v1/status/{world.job_id}"),
        (200, 404, 200, 200),
    ),
    ("get", "/api/v1/jobs"): (lambda client, world: client.get("/api/v1/jobs"), (200, 200, 200, 200)),
    ("post", "/api/v1/jobs/{job_id}/cancel"): (
        lambda client, world: client.post(f"/api/v1/jobs/{world.job_id}/cancel"),
        (200, 404, 200, 200),
    ),
    ("post", "/api/v1/jobs/{job_id}/retry"): (
        lambda client, world: client.post(f"/api/v1/jobs/{world.job_id}/retry"),
        (409, 404, 409, 409),
    ),
    ("get", "/api/v1/jobs/{job_id}/images/{stage}"): (
        lambda client, world: client.get(f"/api/v1/jobs/{world.job_id}/images/source", params={"width": 32}),
        (200, 404, 200, 200),
    ),
    ("get", "/api/v1/jobs/{job_id}/provenance"): (
        lambda client, world: client.get(f"/api/v1/jobs/{world.job_id}/provenance"),
        (200, 404, 200, 200),
    ),
    ("get", "/api/v1/jobs/{job_id}/guardrail"): (
        lambda client, world: client.get(f"/api/v1/jobs/{world.job_id}/guardrail"),
        (200, 404, 200, 200),
    ),
    ("post", "/api/v1/uploads"): (
        lambda client, world: client.post("/api/v1/uploads", json=NEW_UPLOAD),
        (201, 201, 201, 201),
    ),
    ("post", "/api/v1/guardrail/validate"): (
        lambda client, world: client.post("/api/v1/guardrail/validate", files={"file": ("p.png", PICTURE)}),
        (200, 200, 200, 200),
    ),
    ("post", "/api/v1/provenance/verify"): (
        lambda client, world: client.post("/api/v1/provenance/verify", files={"file": ("p.png", PICTURE)}),
        (200, 200, 200, 200),
    ),
    ("get", "/api/v1/guardrail/limits"): (
        lambda client, world: client.get("/api/v1/guardrail/limits"),
        (200, 200, 200, 200),
    ),
    ("post", "/api/v1/batches"): (
        lambda client, world: client.post("/api/v1/batches", json={"items": [{"blob": "uploads/none"}]}),
        (422, 422, 422, 422),
    ),
    ("get", "/api/v1/batches"): (lambda client, world: client.get("/api/v1/batches"), (200, 200, 200, 200)),
    ("get", "/api/v1/batches/{batch_id}"): (
        lambda client, world: client.get(f"/api/v1/batches/{world.batch_id}"),
        (200, 404, 200, 200),
    ),
    ("post", "/api/v1/batches/{batch_id}/cancel"): (
        lambda client, world: client.post(f"/api/v1/batches/{world.batch_id}/cancel"),
        (200, 404, 200, 200),
    ),
    ("get", "/api/v1/metrics"): (lambda client, world: client.get("/api/v1/metrics"), (200, 200, 200, 200)),
    ("get", "/api/v1/logs"): (
        lambda client, world: client.get("/api/v1/logs", params={"job_id": world.job_id, "wait": 0}),
        (200, 404, 200, 200),
    ),
    ("get", "/api/v1/me"): (lambda client, world: client.get("/api/v1/me"), (200, 200, 200, 200)),
    ("get", "/api/v1/me/webhook-secret"): (
        lambda client, world: client.get("/api/v1/me/webhook-secret"),
        (200, 200, 200, 200),
    ),
    ("get", "/api/v1/spend"): (lambda client, world: client.get("/api/v1/spend"), (200, 200, 200, 200)),
    ("get", "/api/v1/spend.csv"): (
        lambda client, world: client.get("/api/v1/spend.csv"),
        (200, 200, 200, 200),
    ),
    ("post", "/api/v1/quote"): (
        lambda client, world: client.post("/api/v1/quote", json={}),
        (200, 200, 200, 200),
    ),
    ("post", "/api/v1/jobs/{job_id}/spend/resolve"): (
        lambda client, world: client.post(
            f"/api/v1/jobs/{world.job_id}/spend/resolve", json={"charged": False}
        ),
        (403, 403, 409, 409),
    ),
    ("get", "/api/v1/circuit-breakers"): (
        lambda client, world: client.get("/api/v1/circuit-breakers"),
        (200, 200, 200, 200),
    ),
    ("post", "/api/v1/circuit-breakers/{dependency}"): (
        lambda client, world: client.post(
            "/api/v1/circuit-breakers/content_safety", json={"state": "closed"}
        ),
        (403, 403, 200, 200),
    ),
    ("get", "/api/v1/users"): (lambda client, world: client.get("/api/v1/users"), (403, 403, 403, 200)),
}
# what everybody may see, with the answer to everybody
DASHBOARD = ("get", "/")
SESSION = {("post", "/api/v1/session"): 422, ("delete", "/api/v1/session"): 204}
OPEN = SESSION | {
    ("get", "/healthz"): 200,
    DASHBOARD: 200,
    ("get", "/openapi.json"): 200,
}
# served from the dashboard's files: no route of their own
PAGES = {("get", "/docs"): 200}


def test_the_tables_have_every_route_of_the_app(stack: Stack) -> None:
    routes = {
        DASHBOARD if not route.path else (method.lower(), str(route.path))
        for route in iter_route_contexts(create_app().routes)
        for method in route.methods or {"any"}
        if method != "HEAD"
    }
    assert routes == ROUTES.keys() | OPEN.keys()
    paths = stack.client.get("/openapi.json").json()["paths"]
    told = {(method, path) for path, methods in paths.items() for method in methods}
    assert told == ROUTES.keys() | SESSION.keys() | {("get", "/healthz")}, "the running stack has the same"


def test_the_functions_host_has_no_other_door() -> None:
    triggers = load_app().of("httpTrigger")
    assert [str(each.properties["route"]) for each in triggers.values()] == ["{*path}"]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_each_route_for_each_caller(stack: Stack, world: World, route: tuple[str, str], caller: str) -> None:
    call, statuses = ROUTES[route]
    answer = call(world.clients[caller], world)
    if caller in STRANGERS:
        assert answer.status_code == 401
        assert answer.json()["code"] == ("missing_api_key" if caller == "no key" else "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
        return
    expected = dict(zip(CALLERS[3:], statuses, strict=True))[caller]
    if route == ("post", "/api/v1/uploads"):
        expected = 201
    assert answer.status_code == expected, answer.text
    if expected in {403, 404}:
        assert world.job_id not in answer.text.replace(f"'{world.job_id}'", "")


class Heads:
    """A client whose GET is a HEAD."""

    def __init__(self, client: httpx.Client) -> None:
        self.get = client.head


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", [route for route in ROUTES if route[0] == "get"], ids=" ".join)
def test_head_is_for_those_who_may_get(world: World, route: tuple[str, str], caller: str) -> None:
    call, statuses = ROUTES[route]
    answer = call(cast("httpx.Client", Heads(world.clients[caller])), world)
    expected = 401 if caller in STRANGERS else dict(zip(CALLERS[3:], statuses, strict=True))[caller]
    assert (answer.status_code, answer.content) == (expected, b"")


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", [route for route in OPEN | PAGES if route[0] == "get"], ids=" ".join)
def test_head_of_what_everybody_may_see(world: World, route: tuple[str, str], caller: str) -> None:
    answer = world.clients[caller].head(route[1])
    assert (answer.status_code, answer.content) == ((OPEN | PAGES)[route], b"")


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", OPEN | PAGES, ids=" ".join)
def test_each_open_route_for_each_caller(world: World, route: tuple[str, str], caller: str) -> None:
    answer = world.clients[caller].request(*route)
    assert answer.status_code == (OPEN | PAGES)[route]
    assert world.job_id not in answer.text


@pytest.mark.parametrize("caller", STRANGERS)
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/nothing", "/api/v2/jobs", "/api/"])
def test_strangers_learn_nothing_below_api_by_any_method(
    world: World, path: str, method: str, caller: str
) -> None:
    assert world.clients[caller].request(method, path).status_code == 401


@pytest.mark.parametrize(
    "path", ["//api/v1/me", "/%61pi/v1/me", "/API/v1/me", "/./api/v1/me", "/api%2fv1/me"]
)
def test_no_other_way_of_writing_a_path_leads_past_the_key(world: World, path: str) -> None:
    answer = world.clients["no key"].get(path)
    assert answer.status_code in {401, 404}, answer.text


def test_lists_logs_and_metrics_hold_ones_own_things_only(world: World) -> None:
    def jobs(caller: str) -> set[str]:
        page = world.clients[caller].get("/api/v1/jobs", params={"limit": 200}).json()
        return {job["job_id"] for job in page["jobs"]}

    assert world.job_id in jobs("owner")
    assert jobs("other user") == set()
    assert world.job_id in jobs("operator") & jobs("admin")

    def events(caller: str) -> list[dict[str, Any]]:
        answer = world.clients[caller].get("/api/v1/logs", headers={"Accept": "application/x-ndjson"})
        return [json.loads(line) for line in answer.text.splitlines()]

    assert {event["job_id"] for event in events("owner")} <= jobs("owner")
    assert events("owner")
    assert events("other user") == []

    def batches(caller: str) -> set[str]:
        return {each["batch_id"] for each in world.clients[caller].get("/api/v1/batches").json()["batches"]}

    assert batches("owner") == {world.batch_id}
    assert batches("other user") == set()
    assert world.batch_id in batches("operator")

    def counted(caller: str) -> float:
        text = world.clients[caller].get("/api/v1/metrics").text
        lines = [line for line in text.splitlines() if line.startswith("imagery_jobs_total{")]
        return sum(float(line.split()[-1]) for line in lines)

    assert counted("other user") == 0
    assert 0 < counted("owner") < counted("operator")
    own = world.clients["owner"].get("/api/v1/metrics").text
    assert "gpu_" not in own


def test_nobody_names_the_blob_of_another(world: World) -> None:
    body = {"items": [{"blob": world.blob}]}
    answer = world.clients["other user"].post("/api/v1/batches", json=body)
    assert answer.status_code == 422
    assert [error["code"] for error in answer.json()["errors"]] == ["source_not_found"]


def test_the_same_idempotency_key_of_two_users_are_two_jobs(world: World, photo: bytes) -> None:
    answers = [
        world.clients[caller].post(
            "/api/v1/process",
            files={"file": ("p.jpg", photo, "image/jpeg")},
            headers={"Idempotency-Key": "the same"},
        )
        for caller in ("owner", "other user")
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({answer.json()["job_id"] for answer in answers}) == 2


def test_a_sign_in_header_is_worth_nothing_where_the_platform_sets_none(stack: Stack) -> None:
    claims = [{"typ": "oid", "val": str(uuid.uuid4())}, {"typ": "roles", "val": "admin"}]
    principal = base64.b64encode(json.dumps({"claims": claims, "role_typ": "roles"}).encode()).decode()
    headers = {"X-MS-CLIENT-PRINCIPAL": principal, "X-MS-CLIENT-PRINCIPAL-ID": "admin"}
    answer = stack.client_of(None).get("/api/v1/me", headers=headers)
    assert answer.status_code == 401


def test_both_headers_carry_a_key(stack: Stack) -> None:
    _, key = stack.users().create(f"bearer {uuid.uuid4().hex}", Role.USER)
    client = stack.client_of(None)
    for headers in (
        {"X-API-Key": key},
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer {key}"},
    ):
        assert client.get("/api/v1/me", headers=headers).status_code == 200
    assert client.get("/api/v1/me", headers={"Authorization": f"Basic {key}"}).status_code == 401
    assert client.get("/api/v1/me", params={"api_key": key}).status_code == 401, "never in a URL"


def test_a_quota_is_told_with_its_way_out(stack: Stack, photo: bytes) -> None:
    users, name = stack.users(), f"poor {uuid.uuid4().hex}"
    _, key = users.create(name, Role.USER)
    client = stack.client_of(key)
    files = {"file": ("p.jpg", photo, "image/jpeg")}
    users.change(name, jobs_per_minute=0)
    busy = client.post("/api/v1/process", files=files)
    assert (busy.status_code, busy.json()["code"]) == (429, "quota_jobs_per_minute")
    assert int(busy.headers["Retry-After"]) >= 1
    users.change(name, jobs_per_minute=10, usd_per_day=0.05)
    poor = client.post("/api/v1/process", files=files)
    assert (poor.status_code, poor.json()["code"]) == (402, "quota_usd_per_day")
    usage = client.get("/api/v1/me").json()["usage"]
    assert (usage["usd_per_day"], usage["usd_today"], usage["open_jobs"]) == (0.05, 0.0, 0)
    assert client.get("/api/v1/jobs").json()["jobs"] == [], "a refused job costs nothing and leaves nothing"


def test_an_upload_over_its_quota_waits_as_a_failed_job(stack: Stack) -> None:
    users, name = stack.users(), f"poor {uuid.uuid4().hex}"
    user, key = users.create(name, Role.USER)
    users.change(name, usd_per_day=0.0)
    blob = upload(stack, user.user_id, encoded("JPEG", size=(96, 96)))
    client = stack.client_of(key)
    job: dict[str, Any] = {}
    for _ in range(100):
        jobs = client.get("/api/v1/jobs", params={"source": blob, "state": "FAILED"}).json()["jobs"]
        if jobs:
            job = jobs[0]
            break
        stack.client.get("/api/v1/logs", params={"wait": 0.3, "after": 2**40})
    assert job["error"]["code"] == "quota_usd_per_day"
    refused = client.post(f"/api/v1/jobs/{job['job_id']}/retry")
    assert (refused.status_code, refused.json()["code"]) == (402, "quota_usd_per_day")
    users.change(name, usd_per_day=10.0)
    assert client.post(f"/api/v1/jobs/{job['job_id']}/retry").status_code == 202
    assert stack.wait_for_end(job["job_id"])["state"] in {"COMPLETED", "FAILED"}
