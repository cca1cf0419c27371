"""The dashboard's files, its first page for every address of its own, and what its pages may load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api import errors
from api.app import create_app
from api.dashboard import BUILT, install, policy
from api.middleware import SecurityHeaders
from imagery.services import Services
from tests.api.test_app import call

SCRIPT = "console.log('x');" * 200


@pytest.fixture
def app(services: Services, tmp_path: Path) -> FastAPI:
    built = tmp_path / "dist"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html><title>Imagery</title>")
    (built / "assets" / "index-abc.js").write_text(SCRIPT)
    (tmp_path / "secret.txt").write_text("outside")
    app = FastAPI()
    errors.install(app)
    app.add_middleware(SecurityHeaders)

    @app.get("/api/v1/me")
    def me() -> str:
        return "the API"

    install(app, built)
    return app


def page(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    more: dict[str, Any] = {"headers": {"Accept": "text/html", **headers}}
    return call(app, "GET", path, **more)


@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/5f2b6b9e-0000-4000-8000-000000000000", "/batches/x.y"])
def test_every_address_of_a_page_is_the_first_page(app: FastAPI, path: str) -> None:
    answer = page(app, path)
    assert answer.status_code == 200
    assert "<title>Imagery</title>" in answer.text
    assert answer.headers["cache-control"] == "no-cache"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_the_api_comes_first(app: FastAPI) -> None:
    assert page(app, "/api/v1/me").json() == "the API"


@pytest.mark.parametrize(
    "path", ["/api/v1/nothing", "/assets/gone.js", "/runtime/webhooks/x", "/samples/no.jpg"]
)
def test_what_is_no_page_stays_a_problem(app: FastAPI, path: str) -> None:
    answer = page(app, path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_the_api_tells_its_own_methods(app: FastAPI) -> None:
    answer = call(app, "POST", "/api/v1/me")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_program_that_asks_for_a_page_hears_that_there_is_none(app: FastAPI) -> None:
    assert page(app, "/nothing", Accept="*/*").status_code == 404


def test_assets_stay_in_the_browser_and_travel_compressed(app: FastAPI) -> None:
    answer = page(app, "/assets/index-abc.js", **{"Accept-Encoding": "gzip"})
    assert answer.text == SCRIPT
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("path", ["/../secret.txt", "/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt"])
def test_nothing_outside_the_build_is_served(app: FastAPI, path: str) -> None:
    assert "outside" not in page(app, path).text


def test_pictures_may_come_from_the_blob_store() -> None:
    assert "img-src 'self' blob: data: https://a.blob.core.windows.net;" in policy(
        "https://a.blob.core.windows.net"
    )
    assert "img-src 'self' blob: data:;" in policy(None)


def test_without_a_build_the_first_page_is_the_apis_description(services: Services, tmp_path: Path) -> None:
    app = FastAPI()
    install(app, tmp_path / "nothing")
    answer = page(app, "/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/openapi.json")


def test_the_documentation_loads_nothing_from_another_host(services: Services) -> None:
    assert (BUILT / "docs/index.html").is_file(), "the dashboard is not built: make setup"
    app = create_app()
    answer = page(app, "/docs")
    assert answer.status_code == 200
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert "http" not in answer.headers["content-security-policy"]
    assert re.findall(r"<script[^>]*>[^<]+|<style| style=", answer.text) == []
    urls = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    urls += re.findall(r"url: '([^']+)'", call(app, "GET", "/docs/start.js").text)
    assert len(urls) == 5
    for url in urls:
        assert url.startswith("/"), url
        assert not url.startswith("//"), url
        assert call(app, "GET", url).status_code == 200, url


def test_what_is_no_file_of_the_documentation_is_no_page(services: Services) -> None:
    assert page(create_app(), "/docs/nothing.js").status_code == 404
