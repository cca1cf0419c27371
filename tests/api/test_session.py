"""A browser's session: a cookie in place of the key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from sqlmodel import select

from api.app import create_app
from api.auth import SESSION_COOKIE
from imagery.api_keys import split_key
from imagery.database.tables import BrowserSession, utc_now
from imagery.principal import Role
from imagery.services import Services

SESSION = "/api/v1/session"


class Browser:
    """Keeps cookies, sends no key."""

    def __init__(self, base_url: str = "http://test") -> None:
        self._app = create_app()
        self._base_url = base_url
        self.cookies = httpx.Cookies()

    def send(self, method: str, path: str, **more: object) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(
                transport=transport, base_url=self._base_url, cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, **more)  # type: ignore[arg-type]
                self.cookies = client.cookies
                return answer

        return asyncio.run(go())

    def sign_in(self, key: str) -> httpx.Response:
        return self.send("POST", SESSION, json={"key": key})


@pytest.fixture
def key(services: Services) -> Iterator[str]:
    yield services.users.create("ann", Role.USER)[1]


@pytest.mark.usefixtures("services")
def test_a_stranger_is_not_let_in() -> None:
    browser = Browser()
    assert browser.send("GET", "/api/v1/me").json()["code"] == "missing_api_key"
    refused = browser.sign_in("igp_k3mz9wq2xa_wrong")
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_api_key")
    assert "set-cookie" not in refused.headers


def test_a_key_becomes_a_cookie_that_scripts_cant_read(key: str) -> None:
    browser = Browser()
    signed_in = browser.sign_in(key)
    assert (signed_in.status_code, signed_in.json()["name"]) == (200, "ann")
    cookie = signed_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert browser.send("GET", "/api/v1/me").json()["name"] == "ann"


def test_over_https_the_cookie_never_travels_in_the_clear(key: str) -> None:
    assert "Secure" in Browser("https://test").sign_in(key).headers["set-cookie"]


def test_signing_out_takes_the_cookie_back(key: str) -> None:
    browser = Browser()
    browser.sign_in(key)
    assert browser.send("DELETE", SESSION).status_code == 204
    assert browser.send("GET", "/api/v1/me").status_code == 401


def test_the_cookie_is_not_the_key_and_no_key(key: str) -> None:
    browser = Browser()
    browser.sign_in(key)
    value = browser.cookies[SESSION_COOKIE]
    assert value not in key
    assert key not in value
    assert Browser().send("GET", "/api/v1/me", headers={"X-API-Key": value}).status_code == 401
    stolen = {"Cookie": f"{SESSION_COOKIE}={key}"}
    assert Browser().send("GET", "/api/v1/me", headers=stolen).status_code == 401


def test_signing_out_ends_the_session_for_every_copy_of_its_cookie(key: str) -> None:
    browser, other = Browser(), Browser()
    for each in (browser, other):
        each.sign_in(key)
    copy = {"Cookie": f"{SESSION_COOKIE}={browser.cookies[SESSION_COOKIE]}"}
    assert Browser().send("GET", "/api/v1/me", headers=copy).status_code == 200
    browser.send("DELETE", SESSION)
    assert Browser().send("GET", "/api/v1/me", headers=copy).status_code == 401
    assert other.send("GET", "/api/v1/me").status_code == 200, "another browser's session goes on"


def test_a_session_ends_by_itself_and_its_row_goes(services: Services, key: str) -> None:
    browser = Browser()
    browser.sign_in(key)
    with services.database.write() as session:
        session.exec(select(BrowserSession)).one().expires_at = utc_now() - timedelta(seconds=1)
    assert browser.send("GET", "/api/v1/me").status_code == 401
    services.retention.delete_old(utc_now() - timedelta(days=90), chunks=1)
    with services.database.read() as session:
        assert session.exec(select(BrowserSession)).first() is None


def test_a_revoked_key_ends_the_session(services: Services, key: str) -> None:
    browser = Browser()
    browser.sign_in(key)
    services.users.revoke((split_key(key) or ("",))[0])
    assert browser.send("GET", "/api/v1/me").json()["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://test"}, 422),
        ({}, 422),
    ],
)
def test_another_sites_page_changes_nothing_with_the_cookie(
    key: str, headers: dict[str, str], status: int
) -> None:
    browser = Browser()
    browser.sign_in(key)
    answer = browser.send("POST", "/api/v1/batches", json={"items": []}, headers=headers)
    assert answer.status_code == status


def test_another_sites_page_signs_nobody_in(key: str) -> None:
    answer = Browser().send("POST", SESSION, json={"key": key}, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site_request")


def test_a_key_in_a_header_wins_over_the_cookie(services: Services, key: str) -> None:
    browser = Browser()
    browser.sign_in(key)
    other = services.users.create("ben", Role.USER)[1]
    assert browser.send("GET", "/api/v1/me", headers={"X-API-Key": other}).json()["name"] == "ben"


def test_a_cookie_of_nonsense_lets_nobody_in(services: Services) -> None:
    for value in ("", "x", "igp_" + "a" * 5000):
        answer = Browser().send("GET", "/api/v1/me", headers={"Cookie": f"{SESSION_COOKIE}={value}"})
        assert answer.status_code == 401
