"""Sign-ins that the platform vouches for, where it does."""

from __future__ import annotations

import base64
import json
import uuid

import pytest
from starlette.datastructures import Headers

from api.app import create_app
from api.auth import authenticate
from imagery.api_keys import new_key
from imagery.principal import Role
from imagery.services import Services
from testbed.ports import free_port
from testbed.services import forget
from tests.api.test_app import call


@pytest.fixture
def easy_auth(monkeypatch: pytest.MonkeyPatch) -> None:
    """As App Service Authentication sets it."""
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")


def header(*claims: tuple[str, str], role_type: str = "roles") -> Headers:
    told = {"role_typ": role_type, "claims": [{"typ": kind, "val": value} for kind, value in claims]}
    return Headers({"x-ms-client-principal": base64.b64encode(json.dumps(told).encode()).decode()})


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([], Role.USER),
        (["Imagery.Operator"], Role.OPERATOR),
        (["operator", "admin"], Role.ADMIN),
        (["Administrator"], Role.USER),
    ],
)
@pytest.mark.usefixtures("easy_auth")
def test_roles_come_from_the_token(services: Services, roles: list[str], expected: Role) -> None:
    who = str(uuid.uuid4())
    claims = [("oid", who), ("name", "Ann"), *(("roles", role) for role in roles)]
    principal = authenticate(header(*claims))
    assert principal is not None
    assert (principal.user_id, principal.name, principal.role) == (who, "Ann", expected)
    assert services.users.get(who) is not None


@pytest.mark.usefixtures("easy_auth")
def test_a_disabled_user_is_not_let_in_by_a_sign_in(services: Services) -> None:
    who = str(uuid.uuid4())
    assert authenticate(header(("oid", who))) is not None
    services.users.change(who, disabled=True)
    assert authenticate(header(("oid", who))) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "!!!",
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b'{"claims": [1]}').decode(),
        "A" * 20_000,
        base64.b64encode(b"[" * 12_000).decode(),
        base64.b64encode(b'{"claims": {"typ": "oid"}}').decode(),
        base64.b64encode(b"\xff\xfe").decode(),
    ],
)
@pytest.mark.usefixtures("easy_auth")
def test_a_broken_header_lets_nobody_in(services: Services, value: str) -> None:
    assert authenticate(Headers({"x-ms-client-principal": value})) is None
    assert authenticate(header(("name", "nobody"))) is None
    assert authenticate(header(("oid", "../../etc"))) is None


@pytest.mark.usefixtures("easy_auth")
def test_a_name_is_kept_without_what_no_database_takes(services: Services) -> None:
    who = str(uuid.uuid4())
    principal = authenticate(header(("oid", who), ("name", "Ann\0\ud800\r\n" + "a" * 300)))
    assert principal is not None
    assert principal.name == "Ann" + "a" * 193
    nameless = authenticate(header(("oid", who), ("name", "\0")))
    assert nameless is not None
    assert nameless.name == who


@pytest.mark.usefixtures("easy_auth")
def test_an_api_key_is_good_beside_it(services: Services) -> None:
    _, key = services.users.create("ann", Role.USER)
    assert authenticate(Headers({"x-api-key": key})) is not None


def test_while_the_database_is_down_health_is_told_and_nobody_is_let_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENV", "DEV")
    monkeypatch.setenv("AzureWebJobsStorage", "")
    monkeypatch.setenv("DATABASE_URL", f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/nothing")
    forget()
    try:
        app, headers = create_app(), {"X-API-Key": new_key().text}
        refused = call(app, "GET", "/api/v1/me", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (503, "authentication_unavailable")
        health = call(app, "GET", "/healthz", headers=headers)
        assert health.status_code == 503
        assert health.json()["dependencies"]["database"]["state"] == "down"
        assert "nobody" not in health.text + refused.text
    finally:
        forget()


@pytest.mark.usefixtures("easy_auth")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"Origin": "http://test"}, 415),
        ({"Sec-Fetch-Site": "same-origin"}, 415),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://test.evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_another_site_can_not_act_in_the_name_of_who_is_signed_in(
    services: Services, headers: dict[str, str], status: int
) -> None:
    signed_in = {**header(("oid", str(uuid.uuid4()))), "X-API-Key": "", **headers}
    answer = call(create_app(), "POST", "/api/v1/process", headers=signed_in)
    assert answer.status_code == status
    assert call(create_app(), "GET", "/api/v1/me", headers=signed_in).status_code == 200


def test_a_key_is_not_sent_by_a_browser_on_its_own_and_needs_no_such_check(services: Services) -> None:
    _, key = services.users.create("ann", Role.USER)
    headers = {"X-API-Key": key, "Origin": "https://evil.example"}
    assert call(create_app(), "POST", "/api/v1/process", headers=headers).status_code == 415
