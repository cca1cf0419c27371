"""Azure AI Content Safety through its own SDK, against a small server that speaks its protocol."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from imagery.contracts import JobOptions
from imagery.guardrail.content_safety import ContentSafetyUnavailableError
from imagery.guardrail.examine import Guardrail
from testbed.pictures import encoded
from testbed.servers import Server
from tests.imagery.guardrail.conftest import Make


class Service:
    """Answers with the severities it is told."""

    def __init__(self) -> None:
        self.severity = 0
        self.status = 200
        self.delay_s = 0.0
        self.requests: list[tuple[str, str | None, dict[str, Any]]] = []
        self.app = FastAPI()
        self.app.post("/contentsafety/{what}")(self.analyze)

    async def analyze(self, what: str, request: Request) -> JSONResponse:
        self.requests.append((what, request.headers.get("ocp-apim-subscription-key"), await request.json()))
        time.sleep(self.delay_s)
        if self.status != 200:
            return JSONResponse({"error": {"code": "x", "message": "y"}}, self.status)
        analysis = [{"category": name, "severity": 0} for name in ("Hate", "SelfHarm", "Sexual")]
        return JSONResponse(
            {"categoriesAnalysis": [*analysis, {"category": "Violence", "severity": self.severity}]}
        )


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    server = Server(made.app)
    made.url = server.url  # type: ignore[attr-defined]
    yield made
    server.stop()


def guardrail_of(make: Make, service: Service, **more: str) -> Guardrail:
    return make(
        CONTENT_SAFETY_ENDPOINT=service.url,  # type: ignore[attr-defined]
        CONTENT_SAFETY_KEY="the key",
        **{"CONTENT_SAFETY_POLICY": "timeout_s=1", **more},
    )


def test_picture_and_prompt_are_judged_once_each(make: Make, service: Service) -> None:
    report = guardrail_of(make, service).examine(encoded(), None, JobOptions()).report
    assert report.admitted, report
    assert [(what, key) for what, key, _ in service.requests] == [
        ("text:analyze", "the key"),
        ("image:analyze", "the key"),
    ]
    names = {check.name: check for check in report.checks}
    assert names["content_safety_picture"].measured.endswith(" 0")


@pytest.mark.parametrize(("severity", "admitted"), [(2, True), (4, False)])
def test_a_severity_over_the_limit_rejects(
    make: Make, service: Service, severity: int, admitted: bool
) -> None:
    service.severity = severity
    report = guardrail_of(make, service).examine(encoded(), None, JobOptions()).report
    assert report.admitted is admitted
    assert report.code == (None if admitted else "unsafe_prompt")


def test_what_is_rejected_already_is_not_sent(make: Make, service: Service) -> None:
    report = guardrail_of(make, service).examine(b"no picture", None, JobOptions()).report
    assert report.code == "unsupported_image_type"
    assert service.requests == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["error", "slow"])
def test_without_an_answer_the_local_checks_decide(make: Make, service: Service, fault: str) -> None:
    service.status, service.delay_s = (500, 0.0) if fault == "error" else (200, 1.5)
    report = guardrail_of(make, service).examine(encoded(), None, JobOptions()).report
    assert report.admitted
    assert {check.passed for check in report.checks if check.name.startswith("content_safety")} == {None}
    assert len(service.requests) == 2, "nothing is sent twice"


def test_or_the_job_waits_where_the_settings_say_so(make: Make, service: Service) -> None:
    service.status = 503
    guardrail = guardrail_of(make, service, CONTENT_SAFETY_POLICY="timeout_s=1 fallback=wait")
    with pytest.raises(ContentSafetyUnavailableError):
        guardrail.examine(encoded(), None, JobOptions())
