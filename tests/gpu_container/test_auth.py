"""Tokens of a local issuer at the GPU service: which are let in, and what its key set may cost."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gpu_container.auth import OPEN_PATHS, AuthUnavailableError, CallerGate, KeySet, UnauthorizedError
from gpu_container.server import create_app
from gpu_container.settings import GpuSettings
from imagery.environment import SettingsError, read
from imagery.storage import LocalStorage
from testbed.servers import Server

AUDIENCE = "11111111-2222-3333-4444-555555555555"
ISSUER = "https://login.example.org/tenant/v2.0"
ORDER = {
    "job_id": "j",
    "source": {"container": "jobs", "name": "a"},
    "target": {"container": "jobs", "name": "b"},
}


class Issuer:
    """Signs tokens and serves its key set."""

    def __init__(self) -> None:
        self.keys = {"one": rsa.generate_private_key(65537, 2048)}
        self.fetched = 0
        self.broken = False
        self.body: Any = None
        self.server = Server(Starlette(routes=[Route("/keys", self._answer)]))

    async def _answer(self, _: Request) -> Response:
        self.fetched += 1
        if self.broken:
            return Response("down", 503)
        if self.body is not None:
            return JSONResponse(self.body)
        keys = [
            jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
        ]
        return JSONResponse({"keys": keys})

    def settings(self) -> GpuSettings:
        words = f"issuer={ISSUER} jwks_url={self.server.url}/keys audience={AUDIENCE}"
        return read(GpuSettings, {"GPU_AUTH": words})

    def token(self, kid: str = "one", **claims: Any) -> str:
        now = int(time.time())
        whole = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "nbf": now,
            "exp": now + 3600,
            "roles": ["GPU.Invoke"],
        } | claims
        kept = {name: value for name, value in whole.items() if value is not None}
        key = self.keys.get(kid) or rsa.generate_private_key(65537, 2048)
        return jwt.encode(kept, key, algorithm="RS256", headers={"kid": kid})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.server.stop()


@pytest.fixture
def service(issuer: Issuer, tmp_path: Path) -> TestClient:
    """The service before its models are loaded: whoever is let in gets 503 gpu_starting."""
    return TestClient(create_app(issuer.settings(), LocalStorage(tmp_path)))


def ask(service: TestClient, token: str | None, path: str = "/v1/upscale") -> tuple[int, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer = service.post(path, json=ORDER, headers=headers)
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("path", ["/v1/upscale", "/v1/remove-background"])
def test_a_good_token_is_let_in_and_none_is_not(service: TestClient, issuer: Issuer, path: str) -> None:
    assert ask(service, issuer.token(), path) == (503, "gpu_starting")
    assert ask(service, None, path) == (401, "unauthorized")
    answer = service.post(path, json=ORDER)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_without_a_token_no_byte_of_the_body_is_read(issuer: Issuer, tmp_path: Path) -> None:
    app = create_app(issuer.settings(), LocalStorage(tmp_path))
    answered: list[Any] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was asked for")

    async def send(message: Any) -> None:
        answered.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/upscale",
        "query_string": b"",
        "headers": [(b"content-length", b"1000000000")],
    }
    asyncio.run(app(scope, receive, send))
    assert answered[0]["status"] == 401


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_that_is_no_order_is_not_read_to_its_end(
    service: TestClient, issuer: Issuer, is_declared: bool
) -> None:
    sent = [0]

    def chunks() -> Iterator[bytes]:
        for _ in range(1000):
            sent[0] += 1
            yield bytes(10_000)

    body = b"".join(chunks()) if is_declared else chunks()
    headers = {"Authorization": f"Bearer {issuer.token()}", "Content-Type": "application/json"}
    answer = service.post("/v1/upscale", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_need_no_token(service: TestClient, path: str) -> None:
    assert service.get(path).status_code in {200, 503}


def test_every_other_path_wants_a_token(issuer: Issuer, tmp_path: Path) -> None:
    app = create_app(issuer.settings(), LocalStorage(tmp_path))
    paths = [route.path for route in app.routes if isinstance(route, APIRoute)]
    app.get("/added-later")(lambda: {})
    service = TestClient(app)
    assert service.get("/added-later").status_code == 401
    closed = {path for path in paths if service.request("GET", path).status_code not in {200, 503}}
    assert closed == set(paths) - OPEN_PATHS


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-app"},
        {"aud": None},
        {"iss": "https://login.example.org/other/v2.0"},
        {"iss": None},
        {"exp": int(time.time()) - 120},
        {"exp": None},
        # far beyond the longest run of the tests, which this is made at the beginning of
        {"nbf": int(time.time()) + 86_400},
        {"nbf": None},
    ],
)
def test_a_token_for_another_time_place_or_app_is_refused(
    service: TestClient, issuer: Issuer, claims: dict[str, Any]
) -> None:
    assert ask(service, issuer.token(**claims)) == (401, "unauthorized")


def test_clocks_may_differ_by_the_skew_and_no_more(service: TestClient, issuer: Issuer) -> None:
    now = int(time.time())
    assert ask(service, issuer.token(exp=now - 30))[0] == 503
    assert ask(service, issuer.token(nbf=now + 30))[0] == 503


@pytest.mark.parametrize("roles", [[], ["Other"], "GPU.Invoke", None, {"GPU.Invoke": 1}])
def test_a_token_without_the_role_is_forbidden(service: TestClient, issuer: Issuer, roles: Any) -> None:
    assert ask(service, issuer.token(roles=roles)) == (403, "forbidden")


def hmac_signed(claims: dict[str, Any], key: rsa.RSAPublicKey) -> str:
    """A token that takes the public key for a shared secret; libraries refuse to make one."""
    secret = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    parts = [{"alg": "HS256", "kid": "one"}, claims]
    signed = ".".join(jwt.utils.base64url_encode(json.dumps(each).encode()).decode() for each in parts)
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{jwt.utils.base64url_encode(signature).decode()}"


def test_a_token_cannot_choose_how_it_is_checked(service: TestClient, issuer: Issuer) -> None:
    good = jwt.decode(issuer.token(), options={"verify_signature": False})
    unsigned = jwt.encode(good, "", algorithm="none", headers={"kid": "one"})
    confused = hmac_signed(good, issuer.keys["one"].public_key())
    other_hash = jwt.encode(good, issuer.keys["one"], algorithm="RS512", headers={"kid": "one"})
    stranger = jwt.encode(
        good, rsa.generate_private_key(65537, 2048), algorithm="RS256", headers={"kid": "one"}
    )
    nameless = jwt.encode(good, issuer.keys["one"], algorithm="RS256")
    for token in (unsigned, confused, other_hash, stranger, nameless, "a.b.c", "", "x" * 20_000):
        assert ask(service, token) == (401, "unauthorized"), token[:40]


def test_keys_named_in_the_token_itself_are_not_looked_at(service: TestClient, issuer: Issuer) -> None:
    mine = rsa.generate_private_key(65537, 2048)
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    headers = {
        "kid": "one",
        "jwk": jwt.algorithms.RSAAlgorithm.to_jwk(mine.public_key(), as_dict=True),
        "jku": "http://127.0.0.1:9/keys",
    }
    assert ask(service, jwt.encode(claims, mine, algorithm="RS256", headers=headers)) == (401, "unauthorized")


@pytest.mark.slow
def test_unknown_key_ids_cost_one_fetch_an_interval(issuer: Issuer) -> None:
    now = [1000.0]
    gate = CallerGate(issuer.settings(), clock=lambda: now[0])
    gate.admit(f"Bearer {issuer.token()}")
    for number in range(50):
        with pytest.raises(UnauthorizedError, match="unknown key"):
            gate.admit(f"Bearer {issuer.token(kid=f'made-up-{number}')}")
    assert issuer.fetched == 1
    now[0] += 31
    with pytest.raises(UnauthorizedError):
        gate.admit(f"Bearer {issuer.token(kid='made-up')}")
    assert issuer.fetched == 2


def test_a_new_key_of_the_issuer_is_found_within_the_interval(issuer: Issuer) -> None:
    now = [1000.0]
    gate = CallerGate(issuer.settings(), clock=lambda: now[0])
    gate.admit(f"Bearer {issuer.token()}")
    old = issuer.token()
    issuer.keys["two"] = rsa.generate_private_key(65537, 2048)
    now[0] += 31
    gate.admit(f"Bearer {issuer.token(kid='two')}")
    del issuer.keys["one"]
    now[0] += 3601
    with pytest.raises(UnauthorizedError, match="unknown key"):
        gate.admit(f"Bearer {old}")


def test_known_keys_bridge_an_outage_of_the_issuer_for_a_bounded_time(issuer: Issuer) -> None:
    now = [1000.0]
    settings = issuer.settings()
    gate = CallerGate(settings, clock=lambda: now[0])
    gate.admit(f"Bearer {issuer.token()}")
    issuer.broken = True
    now[0] += 80_000
    gate.admit(f"Bearer {issuer.token()}")
    now[0] += 10_000
    with pytest.raises(AuthUnavailableError):
        gate.admit(f"Bearer {issuer.token()}")
    issuer.broken = False
    now[0] += 31
    gate.admit(f"Bearer {issuer.token()}")


def test_without_any_key_the_answer_is_later_not_never(service: TestClient, issuer: Issuer) -> None:
    issuer.broken = True
    answer = service.post("/v1/upscale", json=ORDER, headers={"Authorization": f"Bearer {issuer.token()}"})
    assert (answer.status_code, answer.json()["code"]) == (503, "auth_unavailable")
    assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"keys": []},
        {"keys": [{"kty": "oct", "kid": "one", "k": "c2VjcmV0"}]},
        {"keys": [{"kty": "RSA", "kid": "one", "n": "!", "e": "!"}]},
        {"keys": "x" * 600_000},
    ],
)
def test_a_key_set_that_is_none_lets_nobody_in(issuer: Issuer, body: Any) -> None:
    issuer.body = body
    with pytest.raises(AuthUnavailableError):
        KeySet(issuer.settings()).key("one")


def test_a_half_configured_issuer_does_not_start() -> None:
    with pytest.raises(SettingsError, match="GPU_AUTH: issuer needs jwks_url"):
        read(GpuSettings, {"GPU_AUTH": f"issuer={ISSUER}"})


def test_without_an_issuer_everybody_is_let_in(tmp_path: Path) -> None:
    service = TestClient(create_app(GpuSettings(), LocalStorage(tmp_path)))
    assert ask(service, None) == (503, "gpu_starting")
