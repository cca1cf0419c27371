"""The job in the terminal, against a small API that answers from a script."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from local.progress import JobFailedError, download, follow, submit

JOB = "5f0c"


def stage(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {
        "stage": name,
        "state": state,
        "attempt": 1,
        "duration_ms": None,
        "cost_usd": None,
        "error": None,
    } | more


def status(state: str, *stages: dict[str, Any], cost_usd: float = 0.0) -> httpx.Response:
    body = {"job_id": JOB, "state": state, "stages": list(stages), "cost_usd": cost_usd, "error": None}
    return httpx.Response(200, json=body)


class Api:
    """Gives the scripted answers one after the other, the last one for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> httpx.Client:
        return httpx.Client(base_url="http://api", transport=httpx.MockTransport(self))


def shown(api: Api, *, terminal: bool = False, look: Callable[[], None] = lambda: None) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    follow(api.client(), JOB, console, 10, look)
    return out.getvalue()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a photo.jpg"
    path.write_bytes(b"the bytes of the photo")
    return path


def test_a_picture_is_posted_with_its_name_and_the_job_id_comes_back(image: Path) -> None:
    api = Api(httpx.Response(202, json={"job_id": JOB}))
    assert submit(api.client(), image) == JOB
    assert b"the bytes of the photo" in api.requests[0].content
    assert b'name="file"; filename="a photo.jpg"' in api.requests[0].content


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            httpx.Response(413, json={"detail": "The file is too large.", "code": "too_large"}),
            "too large.*too_large",
        ),
        (httpx.Response(500, text="Internal Server Error"), "Internal Server Error.*500"),
        (httpx.Response(200, json=["?"]), "200"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_the_api(image: Path, answer: httpx.Response, told: str) -> None:
    with pytest.raises(JobFailedError, match=told):
        submit(Api(answer).client(), image)


def test_each_change_of_a_stage_is_one_line_where_there_is_no_terminal() -> None:
    api = Api(
        status("RUNNING", stage("guardrail", "RUNNING"), stage("rembg", "PENDING")),
        status("RUNNING", stage("guardrail", "RUNNING"), stage("rembg", "PENDING")),
        status(
            "COMPLETED",
            stage("guardrail", "SUCCEEDED", duration_ms=1234),
            stage("rembg", "FAILED", error={"message": "no [subject]"}, cost_usd=0.08, attempt=2),
        ),
    )
    assert shown(api).splitlines() == [
        "  guardrail  RUNNING  1",
        "  guardrail  SUCCEEDED  1  1.2",
        "  rembg  FAILED  2  $0.08  no [subject]",
    ]


def test_a_terminal_shows_the_table_of_all_stages() -> None:
    text = shown(
        Api(status("COMPLETED", stage("nano_banana", "SUCCEEDED", cost_usd=0.08), cost_usd=0.08)),
        terminal=True,
    )
    assert f"job {JOB}" in text
    assert "nano_banana" in text
    assert "$0.08" in text


def test_words_of_the_api_are_not_taken_for_markup_in_a_terminal() -> None:
    failed = stage("rembg", "FAILED", error={"message": "refused [/red] and [bold]"})
    assert "refused [/red] and [bold]" in shown(Api(status("FAILED", failed)), terminal=True)


def test_a_host_that_is_being_restarted_is_waited_for() -> None:
    api = Api(
        httpx.ConnectError("refused"),
        httpx.Response(503, text="starting"),
        httpx.Response(200, text="not json"),
        status("COMPLETED", stage("rembg", "SUCCEEDED")),
    )
    assert "rembg  SUCCEEDED" in shown(api)


def test_an_unknown_job_is_not_waited_for() -> None:
    with pytest.raises(JobFailedError, match="unknown to the API"):
        shown(Api(httpx.Response(404, json={"code": "job_not_found"})))


def test_a_job_that_does_not_end_is_given_up_in_time() -> None:
    api = Api(status("RUNNING", stage("rembg", "RUNNING")))
    with pytest.raises(JobFailedError, match="did not end within 0 s"):
        follow(api.client(), JOB, Console(file=io.StringIO()), 0.1, lambda: None)


def test_somebody_who_asks_to_stop_is_heard_between_polls() -> None:
    class AskedError(Exception):
        pass

    def ask() -> None:
        raise AskedError

    with pytest.raises(AskedError):
        shown(Api(status("RUNNING")), look=ask)


def test_results_that_exist_are_written_under_their_names(tmp_path: Path) -> None:
    api = Api(
        httpx.Response(200, content=b"cut-out"),
        httpx.Response(302, headers={"location": "http://store/large"}),
        httpx.Response(200, content=b"upscaled"),
        httpx.Response(404),
    )
    client = api.client()
    client.headers["X-API-Key"] = "the key"
    files = download(client, JOB, tmp_path / "results")
    assert {file.name: file.read_bytes() for file in files} == {
        "1-rembg.png": b"cut-out",
        "2-realesrgan.png": b"upscaled",
    }
    asked = [(request.url.host, request.headers.get("X-API-Key")) for request in api.requests]
    assert asked == [("api", "the key"), ("api", "the key"), ("store", None), ("api", "the key")]
