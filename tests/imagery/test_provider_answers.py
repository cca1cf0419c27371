"""Every kind of answer that the image model was seen to give: which picture is meant, what may be charged."""

from __future__ import annotations

import base64
import io
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from imagery.environment import read
from imagery.providers.errors import (
    CallRejectedError,
    NanoBananaError,
    NoPictureError,
    OddAnswerError,
    OutOfServiceError,
    PaymentUnknownError,
    QuotaExhaustedError,
    RateLimitedError,
    ServiceUnavailableError,
)
from imagery.providers.nano_banana import NanoBanana
from imagery.providers.response import ODD_REASONS, SAFETY_REASONS, PlacedImage, base64_of
from imagery.settings import Settings
from testbed.pictures import encoded
from testbed.servers import Server

Json = dict[str, Any]


def picture(width: int = 64, kind: str = "PNG", **more: Any) -> Json:
    """A part with a picture."""
    data = base64.b64encode(encoded(kind, size=(width, 48))).decode()
    return {"inlineData": {"mimeType": "image/png", "data": data}, **more}


def answer(*parts: Json, **candidate: Any) -> Json:
    """An answer with one candidate."""
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": "STOP", **candidate}]}


def without(reason: str, **more: Any) -> Json:
    """An answer without a picture."""
    return {"candidates": [{"finishReason": reason, **more}]}


def error(code: int, status: str = "INTERNAL", message: str = "It failed.", *details: Json) -> Json:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def detail(name: str, **more: Any) -> Json:
    return {"@type": f"type.googleapis.com/google.rpc.{name}", **more}


@dataclass
class Service:
    """Answers each call with what the test wants, and serves files."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def call(self, request: Request) -> Response:
        await request.body()
        self.asked.append(request.url.path)
        if request.url.path.startswith("/files/"):
            data = self.files.get(request.url.path)
            return Response(data, 200 if data is not None else 404)
        return Response(self.body, self.status, self.headers, "application/json")


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Service, Server]]:
    service = Service()
    server = Server(Starlette(routes=[Route("/{path:path}", service.call, methods=["GET", "POST"])]))
    yield service, server
    server.stop()


@pytest.fixture
def service(running: tuple[Service, Server]) -> Service:
    running[0].__init__()  # type: ignore[misc]
    return running[0]


@pytest.fixture
def place(running: tuple[Service, Server], service: Service) -> Callable[..., PlacedImage]:
    def call(
        body: Json | bytes, status: int = 200, retry: str = "timeout_s=3", **headers: str
    ) -> PlacedImage:
        service.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        service.status, service.headers = status, headers
        variables = {
            "NANO_BANANA_BASE_URL": running[1].url,
            "NANO_BANANA_API_KEY": "secret-key",
            "NANO_BANANA_RETRY": retry,
        }
        client = NanoBanana(read(Settings, variables))
        return client.place(
            encoded("PNG", "RGBA"), "on a table", aspect_ratio="1:1", image_size="1K", job_id="job"
        )

    return call


PNG = base64.b64encode(encoded("PNG", size=(72, 48))).decode()
SNAKE = {"inline_data": {"mime_type": "image/png", "data": PNG}}
URL_SAFE = {"inlineData": {"data": PNG.replace("+", "-").replace("/", "_").rstrip("=")}}
LINES = {"inlineData": {"data": "\r\n".join(PNG[at : at + 76] for at in range(0, len(PNG), 76))}}
DAMAGED = {"inlineData": {"data": base64.b64encode(encoded("PNG", size=(300, 48))[:200]).decode()}}
# the answer, and the width of the picture that is meant
PICTURES: dict[str, tuple[Json, int]] = {
    "drafts come first": (answer(picture(60), picture(61), picture(62)), 62),
    "a smaller one comes last": (answer(picture(90), picture(60)), 90),
    "drafts are flagged": (answer(picture(90, thought=True), picture(60)), 60),
    "the only one is flagged": (answer({"text": "thinking", "thought": True}, picture(66, thought=True)), 66),
    "all are flagged": (answer(picture(60, thought=True), picture(67, thought=True)), 67),
    "in the second candidate": ({"candidates": [{"content": None}, *answer(picture(68))["candidates"]]}, 68),
    "snake case": (answer(SNAKE), 72),
    "url-safe base64 without padding": (answer(URL_SAFE), 72),
    "base64 in lines": (answer(LINES), 72),
    "JPEG declared as PNG": (answer(picture(70, "JPEG")), 70),
    "WebP": (answer(picture(71, "WEBP")), 71),
    "promptFeedback is null": ({"promptFeedback": None, **answer(picture(69))}, 69),
    "with a safety reason all the same": (answer(picture(63), finishReason="SAFETY"), 63),
    "the larger one is damaged": (answer(picture(65), DAMAGED), 65),
    "one of them is no picture": (answer(picture(64), {"inlineData": {"data": "AAAA"}}), 64),
    "data is null beside a picture": (answer({"inlineData": None}, picture(58)), 58),
    "forty drafts": (answer(*[picture(60)] * 40, picture(61)), 61),
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_that_is_meant_is_kept(place: Callable[..., PlacedImage], name: str) -> None:
    body, width = PICTURES[name]
    placed = place(body)
    assert placed.width == width
    with Image.open(io.BytesIO(placed.data)) as decoded:
        assert Image.MIME[str(decoded.format)] == placed.content_type


DAY = detail("QuotaFailure", violations=[{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}])
MINUTE = detail("QuotaFailure", violations=[{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}])
SOON = detail("RetryInfo", retryDelay="27s")
DEAD = detail("ErrorInfo", reason="API_KEY_INVALID", domain="googleapis.com")
PAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
# status, body, what it means, code
OTHERS: dict[str, tuple[int, Json | bytes, type[NanoBananaError], str]] = {
    "blocked": (200, {"promptFeedback": {"blockReason": "OTHER"}}, NoPictureError, "nano_banana_safety"),
    **{
        f"safety {each}": (200, without(each), NoPictureError, "nano_banana_safety")
        for each in sorted(SAFETY_REASONS)
    },
    **{
        f"odd {each}": (200, without(each), OddAnswerError, "nano_banana_no_image")
        for each in sorted(ODD_REASONS)
    },
    "no reason": (200, {"candidates": [{}]}, OddAnswerError, "nano_banana_no_image"),
    "text only": (200, answer({"text": "I can't."}), NoPictureError, "nano_banana_no_image"),
    "out of tokens": (200, without("MAX_TOKENS"), NoPictureError, "nano_banana_no_image"),
    "no candidates": (200, {"candidates": []}, PaymentUnknownError, "payment_unknown"),
    "only a damaged picture": (200, answer(DAMAGED), PaymentUnknownError, "payment_unknown"),
    "parts are no list": (200, answer()["candidates"][0], PaymentUnknownError, "payment_unknown"),
    "500 of Google": (500, error(500), ServiceUnavailableError, "nano_banana_unavailable"),
    "502 of Google": (502, error(502), ServiceUnavailableError, "nano_banana_unavailable"),
    "503 of Google": (503, error(503, "UNAVAILABLE"), ServiceUnavailableError, "nano_banana_unavailable"),
    "503 in a list": (
        503,
        json.dumps([error(503)]).encode(),
        ServiceUnavailableError,
        "nano_banana_unavailable",
    ),
    "504 of Google": (
        504,
        error(504, "DEADLINE_EXCEEDED"),
        ServiceUnavailableError,
        "nano_banana_unavailable",
    ),
    "500 of a proxy": (500, PAGE, PaymentUnknownError, "payment_unknown"),
    "502 of a proxy": (502, PAGE, PaymentUnknownError, "payment_unknown"),
    "503 of a proxy": (503, b"", PaymentUnknownError, "payment_unknown"),
    "504 of a proxy": (504, b'{"error": "timeout"}', PaymentUnknownError, "payment_unknown"),
    "429 of the minute": (
        429,
        error(429, "", "", MINUTE, SOON),
        RateLimitedError,
        "nano_banana_rate_limited",
    ),
    "429 without a wait": (429, error(429), RateLimitedError, "nano_banana_rate_limited"),
    "429 of the day": (
        429,
        error(429, "", "", DAY, SOON),
        QuotaExhaustedError,
        "nano_banana_quota_exhausted",
    ),
    "429 of a spending cap": (
        429,
        error(429, "", "Your project has exceeded its monthly spending cap."),
        QuotaExhaustedError,
        "nano_banana_quota_exhausted",
    ),
    "dead key": (400, error(400, "INVALID_ARGUMENT", "", DEAD), OutOfServiceError, "nano_banana_forbidden"),
    "401": (401, error(401, "UNAUTHENTICATED"), OutOfServiceError, "nano_banana_forbidden"),
    "402": (402, error(402), OutOfServiceError, "nano_banana_payment_required"),
    "suspended": (403, error(403, "PERMISSION_DENIED"), OutOfServiceError, "nano_banana_forbidden"),
    "model gone": (404, error(404, "NOT_FOUND"), OutOfServiceError, "nano_banana_model_not_found"),
    "bad request": (400, error(400, "INVALID_ARGUMENT"), CallRejectedError, "nano_banana_bad_request"),
    "too large": (413, b"", CallRejectedError, "nano_banana_rejected"),
    "cut off": (408, error(408), PaymentUnknownError, "payment_unknown"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_without_a_picture_it_is_known_whether_it_may_be_charged(
    place: Callable[..., PlacedImage], name: str
) -> None:
    status, body, kind, code = OTHERS[name]
    with pytest.raises(NanoBananaError) as caught:
        place(body, status)
    assert (type(caught.value), caught.value.code) == (kind, code)


def test_there_are_enough_kinds() -> None:
    assert len(PICTURES) + len(OTHERS) >= 30


def test_a_provider_that_bills_its_errors_is_never_asked_again(place: Callable[..., PlacedImage]) -> None:
    with pytest.raises(PaymentUnknownError):
        place(error(503, "UNAVAILABLE"), 503, retry="timeout_s=3 bills_errors=true")


def test_waits_are_read_and_none_is_made_up(place: Callable[..., PlacedImage]) -> None:
    for body, headers, seconds in (
        (error(429, "", "", SOON), {}, 27.0),
        (error(429), {"Retry-After": "12"}, 12.0),
        (error(429), {}, None),
    ):
        with pytest.raises(RateLimitedError) as caught:
            place(body, 429, **headers)
        assert caught.value.retry_after_s == seconds


def test_what_the_model_says_is_shown(place: Callable[..., PlacedImage]) -> None:
    with pytest.raises(NoPictureError, match="Unsafe: a weapon"):
        place(without("IMAGE_SAFETY", finishMessage="Unsafe: a weapon"))
    with pytest.raises(NoPictureError, match="a blocked word"):
        place({"promptFeedback": {"blockReason": "BLOCKLIST", "blockReasonMessage": "a blocked word"}})
    thought = {"text": "secret thoughts", "thought": True}
    with pytest.raises(NoPictureError) as caught:
        place(answer(thought, {"text": "I can't."}))
    assert "I can't." in caught.value.message and "secret" not in caught.value.message


def test_what_a_picture_comes_with_is_kept(place: Callable[..., PlacedImage]) -> None:
    usage = {"promptTokenCount": 1300, "candidatesTokenCount": 1120, "thoughtsTokenCount": 80}
    said = {"responseId": "r-1", "modelVersion": "gemini-nano-banana-2.1-001", "usageMetadata": usage}
    placed = place({**answer({"text": "On oak."}, picture(64)), **said})
    assert (placed.response_id, placed.model) == ("r-1", "gemini-nano-banana-2.1-001")
    assert (placed.usage, placed.text) == (usage, "On oak.")


@pytest.mark.parametrize("odd", [None, [], "text", 7])
def test_a_picture_is_kept_whatever_it_comes_with(place: Callable[..., PlacedImage], odd: Any) -> None:
    said = {"responseId": odd, "modelVersion": odd, "usageMetadata": odd}
    placed = place({**answer({"text": odd}, picture(64)), **said})
    assert (placed.width, placed.usage) == (64, {})


def test_a_picture_at_an_address_is_fetched(
    place: Callable[..., PlacedImage], service: Service, running: tuple[Service, Server]
) -> None:
    service.files["/files/a.png"] = encoded("PNG", size=(77, 48))
    part = {"fileData": {"mimeType": "image/png", "fileUri": f"{running[1].url}/files/a.png"}}
    assert place(answer(part)).width == 77
    assert service.asked[-1] == "/files/a.png"


@pytest.mark.parametrize(
    "address", ["{url}/files/gone.png", "http://10.0.0.1/a.png", "ftp://example.org/a", "x"]
)
def test_a_picture_that_can_not_be_fetched_may_be_charged(
    place: Callable[..., PlacedImage], running: tuple[Service, Server], address: str
) -> None:
    with pytest.raises(PaymentUnknownError, match="address"):
        place(answer({"fileData": {"fileUri": address.format(url=running[1].url)}}))


def test_a_file_that_is_away_takes_no_other_picture_along(
    place: Callable[..., PlacedImage], running: tuple[Service, Server]
) -> None:
    away = {"fileData": {"fileUri": f"{running[1].url}/files/gone.png"}}
    assert place(answer(away, picture(59))).width == 59
    assert place(answer(picture(58), away)).width == 58


def test_all_files_of_an_answer_share_one_limit_of_time(
    place: Callable[..., PlacedImage], running: tuple[Service, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagery.providers.nano_banana._FETCH_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = {"fileData": {"fileUri": f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"}}
        started = time.monotonic()
        with pytest.raises(PaymentUnknownError):
            place(answer(*[away] * 10))
    assert time.monotonic() - started < 4


def test_a_file_has_a_limit(
    place: Callable[..., PlacedImage],
    service: Service,
    running: tuple[Service, Server],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imagery.providers.nano_banana.MAX_RESPONSE_BYTES", 10_000)
    service.files["/files/a.png"] = b"\x89PNG" + bytes(20_000)
    with pytest.raises(PaymentUnknownError, match="more than 10000 bytes"):
        place(answer({"file_data": {"file_uri": f"{running[1].url}/files/a.png"}}))


def test_base64_is_not_guessed() -> None:
    assert base64_of("-_-_") == base64.b64decode("+/+/")
    with pytest.raises(ValueError, match="base64"):
        base64_of("no base64!")
