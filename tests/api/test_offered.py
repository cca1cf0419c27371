"""Options that the configured image model does not have are refused at every entrance, before any work."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.durable import with_client
from imagery.contracts import UPLOADS, BlobRef
from imagery.principal import Role
from imagery.services import Services, get_services
from testbed.pictures import encoded
from testbed.services import forget
from tests.api.test_app import call
from tests.api.test_odd_requests import Client

STRIP = {"aspect_ratio": "1:8"}


@pytest.fixture
def app(services: Services, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("NANO_BANANA_PROVIDER", "model=gemini-3-pro-image")
    forget()
    services.storage.write(BlobRef(container=UPLOADS, name="a.png"), encoded("PNG"), "image/png")
    with with_client(Client()):
        yield create_app()


def refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (422, "not_offered_by_model")
    assert "gemini-3-pro-image makes no pictures of 1:8" in answer.json()["detail"]


def test_what_the_model_does_not_make_is_refused_at_every_entrance(app: FastAPI) -> None:
    _, key = get_services().users.create("olga", Role.OPERATOR)
    headers = {"X-API-Key": key}
    upload = {"filename": "a.png", "size": 5, "content_type": "image/png", **STRIP}
    refused(call(app, "POST", "/api/v1/process", headers=headers, json={"blob": "uploads/a.png", **STRIP}))
    file = {"file": ("a.png", encoded("PNG"))}
    refused(call(app, "POST", "/api/v1/process", headers=headers, files=file, data=STRIP))
    refused(call(app, "POST", "/api/v1/uploads", headers=headers, json=upload))
    items = [{"blob": "uploads/a.png", **STRIP}, {"blob": "uploads/a.png"}]
    batch = call(app, "POST", "/api/v1/batches", headers=headers, json={"items": items})
    assert [each["code"] for each in batch.json()["refused"]] == ["not_offered_by_model"]


def test_a_client_can_ask_what_the_model_makes(app: FastAPI) -> None:
    limits = call(app, "GET", "/api/v1/guardrail/limits").json()
    assert "21:9" in limits["aspect_ratios"] and "1:8" not in limits["aspect_ratios"]
    assert limits["thinking_levels"] == []
