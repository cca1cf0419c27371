"""The client of the paid service against the simulator: every answer means one thing, and one bill."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from imagery.environment import read
from imagery.providers import nano_banana
from imagery.providers.errors import (
    CallRejectedError,
    NanoBananaError,
    NoPictureError,
    OutOfServiceError,
    PaymentUnknownError,
    RateLimitedError,
    ServiceUnavailableError,
)
from imagery.providers.nano_banana import NanoBanana
from imagery.providers.reference import reference_image
from imagery.providers.response import PlacedImage
from imagery.settings import Settings
from local.nano_banana_simulator import Simulator, SimulatorOptions
from testbed.ports import free_port
from testbed.servers import Server


@pytest.fixture(scope="module")
def simulator() -> Iterator[Server]:
    server = Server(Simulator(SimulatorOptions(latency_s=0.0, hang_s=10.0)).app())
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def clean(simulator: Server) -> None:
    simulator.client.delete("/_simulator/faults")
    simulator.client.delete("/_simulator/bill")


def settings_of(url: str, *, key: str = "secret-key", timeout_s: float = 3.0) -> Settings:
    variables = {
        "NANO_BANANA_BASE_URL": url,
        "NANO_BANANA_API_KEY": key,
        "NANO_BANANA_RETRY": f"timeout_s={timeout_s}",
    }
    return read(Settings, variables)


@pytest.fixture
def client(simulator: Server) -> NanoBanana:
    return NanoBanana(settings_of(simulator.url))


def cutout(size: tuple[int, int] = (200, 160)) -> bytes:
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((20, 20, size[0] - 20, size[1] - 20), fill=(200, 80, 40, 255))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def place(client: NanoBanana, job_id: str = "job", **more: object) -> PlacedImage:
    arguments = {"aspect_ratio": "1:1", "image_size": "1K", "job_id": job_id} | more
    return client.place(cutout(), "on a table", **arguments)  # type: ignore[arg-type]


def bill(simulator: Server, job_id: str = "job") -> tuple[int, int]:
    entry = simulator.client.get("/_simulator/bill").json()["by_job"].get(job_id, {"calls": 0, "billed": 0})
    return entry["calls"], entry["billed"]


def fault(simulator: Server, *names: str, **more: object) -> None:
    answer = simulator.client.post("/_simulator/faults", json={"next": list(names), **more})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("ratio", "size", "expected"), [("1:1", "1K", (1024, 1024)), ("16:9", "1K", (1376, 768))]
)
def test_a_picture_comes_back_in_the_asked_shape(
    client: NanoBanana, simulator: Server, ratio: str, size: str, expected: tuple[int, int]
) -> None:
    placed = place(client, aspect_ratio=ratio, image_size=size)
    assert (placed.width, placed.height, placed.content_type) == (*expected, "image/png")
    with Image.open(io.BytesIO(placed.data)) as picture:
        assert picture.size == expected
    assert bill(simulator) == (1, 1)


def test_the_cut_out_stands_in_the_scene_and_the_prompt_changes_it(client: NanoBanana) -> None:
    first, again = place(client).data, place(client).data
    other = client.place(cutout(), "in the snow", aspect_ratio="1:1", image_size="1K", job_id="job").data
    pixels = [Image.open(io.BytesIO(each)).tobytes() for each in (first, again, other)]
    assert pixels[0] == pixels[1]
    assert pixels[0] != pixels[2]
    with Image.open(io.BytesIO(first)) as picture:
        red, green, blue = picture.convert("RGB").getpixel((512, 620))  # type: ignore[misc]
    assert abs(red - 200) < 20
    assert abs(green - 80) < 20
    assert abs(blue - 40) < 20


NOT_CHARGED: dict[str, tuple[type[NanoBananaError], str]] = {
    "503": (ServiceUnavailableError, "nano_banana_unavailable"),
    "429": (RateLimitedError, "nano_banana_rate_limited"),
    "safety": (NoPictureError, "nano_banana_safety"),
    "text_only": (NoPictureError, "nano_banana_no_image"),
}
PERHAPS_CHARGED = {
    "timeout_before_billing": 0,
    "timeout_after_billing": 1,
    "broken_connection": 1,
    "malformed_json": 1,
}


@pytest.mark.parametrize("name", NOT_CHARGED)
def test_an_answer_that_cost_nothing_is_known_as_such(
    client: NanoBanana, simulator: Server, name: str
) -> None:
    fault(simulator, name)
    kind, code = NOT_CHARGED[name]
    with pytest.raises(kind) as caught:
        place(client)
    assert caught.value.code == code
    assert bill(simulator) == (1, 0)
    place(client)
    assert bill(simulator) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", PERHAPS_CHARGED)
def test_a_lost_answer_is_unknown_and_not_sent_again(
    client: NanoBanana, simulator: Server, name: str
) -> None:
    fault(simulator, name)
    started = time.monotonic()
    with pytest.raises(PaymentUnknownError):
        place(client)
    assert time.monotonic() - started < 6
    time.sleep(0.2)
    assert bill(simulator) == (1, PERHAPS_CHARGED[name])


@pytest.mark.parametrize(("asked", "seconds"), [(27, 27.0), (1.5, 1.5), (52758, 52758.0)])
def test_the_wait_that_the_service_asks_for_is_read(
    client: NanoBanana, simulator: Server, asked: float, seconds: float
) -> None:
    fault(simulator, "429", retry_delay_s=asked)
    with pytest.raises(RateLimitedError) as caught:
        place(client)
    assert caught.value.retry_after_s == seconds


def test_without_a_service_nothing_was_sent() -> None:
    sent: list[bool] = []
    client = NanoBanana(settings_of(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(ServiceUnavailableError):
        place(client, on_send=lambda: sent.append(True))
    assert sent == [True]


def test_what_the_last_look_raises_stops_the_call(client: NanoBanana, simulator: Server) -> None:
    class CancelledError(Exception):
        pass

    def cancel() -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        place(client, on_send=cancel)
    assert bill(simulator) == (0, 0)


def test_permanent_rejections_are_permanent(simulator: Server) -> None:
    with pytest.raises(CallRejectedError) as bad_request:
        place(NanoBanana(settings_of(simulator.url)), aspect_ratio="7:5")
    assert bad_request.value.code == "nano_banana_bad_request"
    with pytest.raises(CallRejectedError) as no_key:
        place(NanoBanana(settings_of(simulator.url, key="")))
    assert no_key.value.code == "nano_banana_not_configured"
    with pytest.raises(CallRejectedError):
        NanoBanana(settings_of(simulator.url)).place(
            b"no picture", "x", aspect_ratio="1:1", image_size="1K", job_id="job"
        )


def test_an_answer_beyond_the_limit_is_unknown(simulator: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano_banana, "MAX_RESPONSE_BYTES", 10_000)
    client = NanoBanana(settings_of(simulator.url))
    with pytest.raises(PaymentUnknownError):
        place(client)


def test_no_error_holds_the_key(simulator: Server) -> None:
    for name in [*NOT_CHARGED, *PERHAPS_CHARGED]:
        fault(simulator, name)
        with pytest.raises(NanoBananaError) as caught:
            place(NanoBanana(settings_of(simulator.url, timeout_s=0.5)))
        assert "secret-key" not in f"{caught.value} {caught.value.__cause__!r}"


def test_the_reference_is_bounded_and_has_no_fringe() -> None:
    large = Image.new("RGBA", (3000, 1500), (255, 255, 255, 0))
    large.paste((255, 0, 0, 255), (500, 500, 2500, 1000))
    buffer = io.BytesIO()
    large.save(buffer, "PNG")
    data, kind = reference_image(buffer.getvalue(), 1000, max_megapixels=10)
    with Image.open(io.BytesIO(data)) as small:
        assert (small.size, small.mode, kind) == ((1000, 500), "RGBA", "image/png")
        pixels = np.asarray(small)
    assert pixels[pixels[..., 3] > 20][:, 1].max() < 30, "white of transparent pixels bled in"
    with pytest.raises(CallRejectedError):
        reference_image(buffer.getvalue(), 1000, max_megapixels=4)


def test_a_reference_fits_into_what_every_provider_takes() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (2048, 2048, 4), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=0)
    data, kind = reference_image(buffer.getvalue(), 2048, max_megapixels=10)
    with Image.open(io.BytesIO(data)) as sent:
        assert sent.size == (1434, 1434)
    assert (len(base64.b64encode(data)) < 7_000_000, kind) == (True, "image/webp")


@pytest.mark.slow
def test_the_bill_is_right_under_load(simulator: Server) -> None:
    client = NanoBanana(settings_of(simulator.url, timeout_s=60))
    simulator.client.post("/_simulator/faults", json={"rate": 0.3, "kinds": ["503"], "seed": 1})

    def call(_: int) -> bool:
        try:
            place(client, job_id="load")
        except ServiceUnavailableError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        placed = sum(pool.map(call, range(24)))
    assert 0 < placed < 24
    assert bill(simulator, "load") == (24, placed)
    total = simulator.client.get("/_simulator/bill").json()
    assert total["usd"] == pytest.approx(0.08 * placed)


PICTURE = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(cutout()).decode()}}
DRAFT = {"thought": True, "inlineData": {"mimeType": "image/png", "data": "AAAA"}}
ODD_ANSWERS: dict[str, tuple[int, str, type[NanoBananaError]]] = {
    "empty object": (200, "{}", PaymentUnknownError),
    "no candidates": (200, '{"candidates": []}', PaymentUnknownError),
    "wrong shape": (200, '{"candidates": [7]}', PaymentUnknownError),
    "bottomless": (200, "[" * 200_000, PaymentUnknownError),
    "blocked": (200, '{"promptFeedback": {"blockReason": "SAFETY"}}', NoPictureError),
    "redirect": (302, "", CallRejectedError),
    "too large": (413, "", CallRejectedError),
    "cut off": (408, "", PaymentUnknownError),
    "broken": (500, "", PaymentUnknownError),
    "key repeated": (
        403,
        '{"error": {"code": 403, "message": "api_key:secret-key is suspended"}}',
        OutOfServiceError,
    ),
}


def answering(status: int, body: str) -> Server:
    async def answer(request: Request) -> Response:
        await request.body()
        return Response(body, status, media_type="application/json")

    return Server(Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])]))


@pytest.mark.parametrize("name", ODD_ANSWERS)
def test_an_odd_answer_is_classified_by_what_it_may_have_cost(name: str) -> None:
    status, body, kind = ODD_ANSWERS[name]
    server = answering(status, body)
    try:
        with pytest.raises(kind) as caught:
            place(NanoBanana(settings_of(server.url)))
    finally:
        server.stop()
    assert "secret-key" not in str(caught.value)


def test_a_draft_is_not_the_result() -> None:
    answer = {"candidates": [{"content": {"parts": [DRAFT, PICTURE]}, "finishReason": "STOP"}]}
    server = answering(200, json.dumps(answer))
    try:
        placed = place(NanoBanana(settings_of(server.url)))
    finally:
        server.stop()
    assert (placed.width, placed.height) == (200, 160)


def test_an_address_that_is_none_was_not_called() -> None:
    with pytest.raises(CallRejectedError):
        place(NanoBanana(settings_of("ftp://127.0.0.1")))


@pytest.mark.parametrize(("size", "seconds"), [("1K", "4"), ("4K", "7")])
def test_the_service_hears_how_long_it_is_waited_for(size: str, seconds: str) -> None:
    heard: list[str] = []

    async def answer(request: Request) -> Response:
        await request.body()
        heard.append(request.headers["X-Server-Timeout"])
        return Response(status_code=413)

    server = Server(Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])]))
    try:
        with pytest.raises(CallRejectedError):
            place(NanoBanana(settings_of(server.url, timeout_s=3.5)), image_size=size)
    finally:
        server.stop()
    assert heard == [seconds]


@pytest.mark.parametrize("answered", ["HTTP/1.1 200 OK\r\nX-Drip: ", "HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_that_drips_ends_at_the_limit(answered: str) -> None:
    """Each byte comes well within any limit of a single read, in the headers or in the body."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(1024)
                connection.sendall(answered.encode())
                while not stop.wait(0.05):
                    connection.sendall(b"x")

        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        with pytest.raises(PaymentUnknownError):
            place(NanoBanana(settings_of(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=0.5)))
        stop.set()
    assert time.monotonic() - started < 10
