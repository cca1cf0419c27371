"""One credential for everything: the real azure-identity against a local identity endpoint."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imagery.contracts import BlobRef, GpuHealth, GpuRequest
from imagery.database.engine import make_engine, needs_token
from imagery.database.grants import grant
from imagery.database.migrate import upgrade
from imagery.environment import read
from imagery.gpu_client import GpuClient, GpuFailedError, GpuUnauthorizedError
from imagery.identity import Tokens, TokenUnavailableError, make_credential
from imagery.settings import Settings
from imagery.storage import AzureBlobStorage
from testbed.identity_endpoint import IdentityEndpoint
from testbed.postgres import Postgres
from testbed.servers import Server

GPU_APP = "11111111-2222-3333-4444-555555555555"
ORDER = GpuRequest(
    job_id="j", source=BlobRef(container="jobs", name="a"), target=BlobRef(container="jobs", name="b")
)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    endpoint = IdentityEndpoint(token=f"token-{secrets.token_hex(8)}")
    for name, value in endpoint.environment.items():
        monkeypatch.setenv(name, value)
    yield endpoint
    endpoint.stop()


def settings(**more: str) -> Settings:
    return read(Settings, {"AZURE_CREDENTIAL": "managed_identity", "AZURE_CLIENT_ID": "app-client", **more})


def tokens(margin_s: float = 300.0, scope: str = "https://example.org/.default") -> Tokens:
    return Tokens(make_credential(settings()), scope, margin_s)


def test_a_managed_identity_is_asked_once_for_many_calls(endpoint: IdentityEndpoint) -> None:
    source = tokens()
    assert {source.get() for _ in range(20)} == {endpoint.token}
    assert endpoint.asked == [("https://example.org", "app-client")]


def test_a_token_is_renewed_before_it_ends(endpoint: IdentityEndpoint) -> None:
    endpoint.lifetime_s = 100
    source = tokens(margin_s=300)
    first = source.get()
    endpoint.token = "second"
    assert (first, source.get()) == (first, "second") and first != "second"


def test_without_an_identity_the_error_says_so_and_holds_no_secret(endpoint: IdentityEndpoint) -> None:
    endpoint.broken = True
    with pytest.raises(TokenUnavailableError, match=r"https://example\.org") as caught:
        tokens().get()
    assert "identity-header" not in str(caught.value)


class FailingLater:
    """Gives one token, then fails."""

    def __init__(self, lifetime_s: float) -> None:
        self.lifetime_s = lifetime_s
        self.calls = 0

    def get_token(self, *_: str, **__: object) -> AccessToken:
        self.calls += 1
        if self.calls > 1:
            raise ClientAuthenticationError("identity endpoint is down")
        return AccessToken("old", int(time.time() + self.lifetime_s))


def test_an_outage_of_the_identity_endpoint_is_bridged_while_the_old_token_is_good() -> None:
    credential = FailingLater(lifetime_s=200)
    source = Tokens(credential, "scope", margin_s=300)
    assert {source.get() for _ in range(10)} == {"old"}
    assert credential.calls == 2, "a failed renewal must not be tried at every call"


def test_an_ended_token_is_never_handed_out() -> None:
    source = Tokens(FailingLater(lifetime_s=-1), "scope", margin_s=0)
    source.get()
    with pytest.raises(TokenUnavailableError):
        source.get()


@pytest.mark.parametrize(
    ("url", "needed"),
    [
        ("sqlite:///x.db", False),
        ("postgresql+psycopg://app:secret@db.example.org/x", False),
        ("postgresql+psycopg://app@127.0.0.1/x", False),
        ("postgresql+psycopg://app@localhost/x", False),
        ("postgresql+psycopg:///x?host=/run/postgresql", False),
        ("postgresql+psycopg://app@db.example.org/x", True),
    ],
)
def test_only_a_remote_database_without_a_password_gets_a_token(url: str, needed: bool) -> None:
    assert needs_token(url) is needed


@pytest.fixture
def token_role(postgres: Postgres) -> Iterator[str]:
    """A role that must bring a password, where the others of this server are trusted."""
    name = f"app_{secrets.token_hex(4)}"
    rules = postgres.directory / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n{before}")
    admin = make_engine(postgres.url)
    with admin.begin() as connection:
        connection.execute(text(f'CREATE ROLE "{name}" LOGIN'))
        connection.execute(text("SELECT pg_reload_conf()"))
    yield name
    rules.write_text(before)
    with admin.begin() as connection:
        connection.execute(text("SELECT pg_reload_conf()"))
    admin.dispose()


def _let_in(postgres: Postgres, role: str, token: str) -> None:
    admin = make_engine(postgres.url)
    with admin.begin() as connection:
        connection.execute(text(f"ALTER ROLE \"{role}\" PASSWORD '{token}'"))
    admin.dispose()


def test_postgresql_is_signed_in_to_with_the_token_of_the_moment(
    endpoint: IdentityEndpoint, postgres: Postgres, token_role: str
) -> None:
    endpoint.lifetime_s = 100
    url = make_url(postgres.url).set(username=token_role).update_query_dict({"sslmode": "disable"})
    engine = make_engine(str(url), tokens(scope="https://ossrdbms-aad.database.windows.net/.default"))
    for token in (endpoint.token, "rotated-1", "rotated-2"):
        endpoint.token = token
        _let_in(postgres, token_role, token)
        engine.dispose()
        with engine.connect() as connection:
            assert connection.execute(text("SELECT current_user")).scalar_one() == token_role
    assert {resource for resource, _ in endpoint.asked} == {"https://ossrdbms-aad.database.windows.net"}

    endpoint.token = "not-his"
    engine.dispose()
    with pytest.raises(OperationalError, match="password authentication failed"):
        engine.connect()


def test_a_token_never_travels_without_tls_unless_the_url_says_so(
    endpoint: IdentityEndpoint, postgres: Postgres, token_role: str
) -> None:
    _let_in(postgres, token_role, endpoint.token)
    url = make_url(postgres.url).set(username=token_role)
    with pytest.raises(OperationalError, match="SSL"):
        make_engine(str(url), tokens()).connect()


def test_the_apps_role_may_change_rows_and_no_schema(postgres: Postgres, postgres_url: str) -> None:
    role = f"app-{secrets.token_hex(4)}"
    server, owner = make_engine(postgres.url), make_engine(postgres_url)
    with server.begin() as connection:
        # Azure's function, as far as it matters here
        connection.execute(
            text(
                "CREATE OR REPLACE FUNCTION pgaadauth_create_principal(name text, admin bool, mfa bool) "
                "RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
                "EXECUTE format('CREATE ROLE %I LOGIN', name); RETURN name; END $$"
            )
        )
    upgrade(owner)
    grant(owner, server, role)
    grant(owner, server, role)
    app = make_engine(str(make_url(postgres_url).set(username=role)))
    with app.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
    with app.connect() as connection, pytest.raises(Exception, match="permission denied"):
        connection.execute(text("CREATE TABLE mine (id int)"))
    for engine in (app, owner, server):
        engine.dispose()


class GpuStandIn:
    """Keeps the Authorization headers it gets and answers with ``status``."""

    def __init__(self, status: int, code: str | None) -> None:
        self.authorization: list[str] = []

        async def answer(request: Request) -> Response:
            self.authorization.append(request.headers.get("Authorization", ""))
            if code is None:
                return Response("Sign in", status)
            body = {"title": "t", "status": status, "detail": "why", "code": code}
            return JSONResponse(json.loads(json.dumps(body)), status)

        self.server = Server(Starlette(routes=[Route("/v1/upscale", answer, methods=["POST"])]))


@pytest.mark.parametrize(
    ("status", "code"), [(401, "unauthorized"), (403, "forbidden"), (401, None), (403, None)]
)
def test_a_gpu_service_that_lets_nobody_in_is_not_asked_again(
    endpoint: IdentityEndpoint, status: int, code: str | None
) -> None:
    gpu = GpuStandIn(status, code)
    client = GpuClient(settings(GPU_SERVICE_URL=gpu.server.url, GPU_APP_ID=GPU_APP))
    with pytest.raises(GpuUnauthorizedError, match="gpu_unauthorized") as caught:
        client.upscale(ORDER, soon())
    gpu.server.stop()
    assert not caught.value.retryable
    assert gpu.authorization == [f"Bearer {endpoint.token}"]
    assert endpoint.asked == [(GPU_APP, "app-client")]


def test_without_a_token_the_gpu_service_is_not_called(endpoint: IdentityEndpoint) -> None:
    endpoint.broken = True
    gpu = GpuStandIn(200, None)
    client = GpuClient(settings(GPU_SERVICE_URL=gpu.server.url, GPU_APP_ID=GPU_APP))
    with pytest.raises(GpuFailedError, match="gpu_token_unavailable") as caught:
        client.upscale(ORDER, soon())
    gpu.server.stop()
    assert caught.value.retryable and caught.value.is_outage
    assert gpu.authorization == []


def test_the_health_of_the_gpu_service_is_seen_without_a_token(endpoint: IdentityEndpoint) -> None:
    endpoint.broken = True
    service = Server(Starlette(routes=[Route("/healthz", lambda _: JSONResponse({"state": "READY"}))]))
    client = GpuClient(settings(GPU_SERVICE_URL=service.url, GPU_APP_ID=GPU_APP))
    assert client.health() == GpuHealth(state="READY")
    service.stop()


def test_a_local_gpu_service_is_called_without_a_token(endpoint: IdentityEndpoint) -> None:
    gpu = GpuStandIn(401, "unauthorized")
    with pytest.raises(GpuUnauthorizedError):
        GpuClient(read(Settings, {"GPU_SERVICE_URL": gpu.server.url})).upscale(ORDER, soon())
    gpu.server.stop()
    assert (gpu.authorization, endpoint.asked) == ([""], [])


class BlobEndpoint:
    """Azure's blob endpoint as far as links go: gives user delegation keys to whoever brings a token."""

    def __init__(self) -> None:
        self.authorization: list[str] = []
        self.server = Server(Starlette(routes=[Route("/", self._answer, methods=["POST"])]))

    async def _answer(self, request: Request) -> Response:
        assert request.query_params["comp"] == "userdelegationkey"
        self.authorization.append(request.headers.get("Authorization", ""))
        asked = ElementTree.fromstring(await request.body())
        start, end = asked.findtext("Start"), asked.findtext("Expiry")
        body = (
            '<?xml version="1.0" encoding="utf-8"?><UserDelegationKey>'
            "<SignedOid>11111111-1111-1111-1111-111111111111</SignedOid>"
            "<SignedTid>22222222-2222-2222-2222-222222222222</SignedTid>"
            f"<SignedStart>{start}</SignedStart><SignedExpiry>{end}</SignedExpiry>"
            "<SignedService>b</SignedService><SignedVersion>2025-01-05</SignedVersion>"
            f"<Value>{base64.b64encode(b'k' * 32).decode()}</Value></UserDelegationKey>"
        )
        return Response(body, media_type="application/xml")


class ToLocalServer(RequestsTransport):
    """Sends what is meant for Azure's address to a server of the test."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: Any, **options: Any) -> Any:
        parts = urlsplit(request.url)
        request.url = f"{self._url}{parts.path or '/'}?{parts.query}"
        return super().send(request, **options)


def test_links_are_signed_with_a_user_delegation_key_where_there_is_no_account_key(
    endpoint: IdentityEndpoint,
) -> None:
    azure = BlobEndpoint()
    service = BlobServiceClient(
        "https://account.blob.core.windows.net",
        credential=make_credential(settings()),
        transport=ToLocalServer(azure.server.url),
    )
    storage = AzureBlobStorage(service)
    ref = BlobRef(container="uploads", name="a b.png")
    links = [storage.write_link(ref, 900), storage.read_link(ref, 900), storage.write_link(ref, 900)]
    azure.server.stop()
    assert azure.authorization == [f"Bearer {endpoint.token}"], "one key is good for many links"
    assert endpoint.asked == [("https://storage.azure.com", "app-client")]
    for link, permission in zip(links, "crc", strict=True):
        parts = urlsplit(link)
        signed = parse_qs(parts.query)
        assert (parts.hostname, parts.path) == ("account.blob.core.windows.net", "/uploads/a%20b.png")
        assert signed["skoid"] == ["11111111-1111-1111-1111-111111111111"]
        assert (signed["sp"], signed["sr"]) == ([permission], ["b"])
        assert datetime.fromisoformat(signed["se"][0]) <= datetime.now(UTC) + timedelta(seconds=901)
