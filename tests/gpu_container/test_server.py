"""The service over HTTP, as the pipeline calls it, with the real models."""

from __future__ import annotations

import io
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

from gpu_container import pictures, stages
from gpu_container.models import ALL_FILES, BACKGROUND_MODELS
from gpu_container.server import create_app
from gpu_container.settings import GpuSettings, MemoryWords
from gpu_container.stages import StageService
from imagery.contracts import JOBS, BlobRef
from imagery.storage import LocalStorage, Storage
from testbed.clients import local_client
from testbed.ports import free_port

PHOTO = Path(__file__).parent.parent.parent / "local/samples/coffee.jpg"


class Service:
    """The service on a port, in a thread."""

    def __init__(self, settings: GpuSettings, storage: Storage) -> None:
        port = free_port()
        config = uvicorn.Config(create_app(settings, storage), port=port, log_config=None)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.client = local_client(port)
        self.storage = storage
        self.thread.start()

    def wait(self, path: str = "/readyz") -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if self.client.get(path).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError("the service did not become ready")

    def wait_loaded(self) -> None:
        self.wait("/healthz")
        until = time.monotonic() + 60
        while self.client.get("/healthz").json()["state"] == "STARTING" and time.monotonic() < until:
            time.sleep(0.05)

    def put(self, name: str, data: bytes) -> None:
        self.storage.write(BlobRef(container=JOBS, name=name), data, "image/png")

    def get(self, name: str) -> Image.Image:
        return Image.open(io.BytesIO(self.storage.read(BlobRef(container=JOBS, name=name))))

    def call(self, stage: str, source: str, target: str, job_id: str = "j", **headers: str) -> httpx.Response:
        body = {
            "job_id": job_id,
            "source": {"container": JOBS, "name": source},
            "target": {"container": JOBS, "name": target},
        }
        return self.client.post(f"/v1/{stage}", json=body, headers=headers)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)


@pytest.fixture(scope="module")
def service(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    storage = LocalStorage(tmp_path_factory.mktemp("store"))
    running = Service(
        GpuSettings(model_cache=cache, queue_s=0.1, memory=MemoryWords(max_megapixels=1.0)), storage
    )
    running.wait()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def roomy(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that takes many requests at once."""
    storage = LocalStorage(tmp_path_factory.mktemp("roomy"))
    running = Service(GpuSettings(model_cache=cache, memory=MemoryWords(max_megapixels=1.0)), storage)
    running.wait()
    yield running
    running.stop()


def png(size: tuple[int, int], mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    return answer.status_code, body["code"]


def test_a_photo_is_cut_out_and_upscaled(service: Service) -> None:
    service.put("a/photo", PHOTO.read_bytes())
    cut = service.call("remove-background", "a/photo", "a/1.png").json()
    assert (cut["width"], cut["height"], cut["device"], cut["reused"]) == (600, 400, "cpu", False)
    with service.get("a/1.png") as cutout:
        cutout.crop((250, 150, 330, 210)).save(buffer := io.BytesIO(), "PNG")
    service.put("a/part.png", buffer.getvalue())
    report = service.call("upscale", "a/part.png", "a/2.png").json()
    assert (report["width"], report["height"], report["model"]) == (320, 240, "realesr-animevideov3")
    with service.get("a/2.png") as upscaled:
        assert (upscaled.size, upscaled.mode) == ((320, 240), "RGBA")


def test_a_finished_target_is_not_worked_on_again(service: Service) -> None:
    service.put("b/in.png", png((40, 30)))
    first = service.call("upscale", "b/in.png", "b/out.png").json()
    second = service.call("upscale", "b/in.png", "b/out.png").json()
    assert (first["reused"], second["reused"]) == (False, True)
    assert (second["width"], second["height"]) == (160, 120)


def test_two_requests_for_one_target_share_the_work(service: Service) -> None:
    service.put("c/in.png", png((300, 200)))
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(service.call, "upscale", "c/in.png", "c/out.png") for _ in range(4)]
        reports = [call.result().json() for call in calls]
    assert len({report["duration_ms"] for report in reports if not report["reused"]}) == 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16"])
def test_every_pixel_type_is_upscaled(service: Service, mode: str) -> None:
    service.put(f"d/{mode}.png", png((24, 16), mode))
    answer = service.call("upscale", f"d/{mode}.png", f"d/{mode}-out.png")
    assert answer.status_code == 200, answer.text
    with service.get(f"d/{mode}-out.png") as upscaled:
        assert (upscaled.size, upscaled.mode) == (
            (96, 64),
            "RGBA" if mode in {"LA", "RGBA"} else "RGB",
        )


def test_rejections_are_told_apart(service: Service) -> None:
    service.put("e/flat.png", _flat())
    service.put("e/text.png", b"no picture")
    service.put("e/cut.png", PHOTO.read_bytes()[:9000])
    service.put("e/large.png", png((1200, 1000)))
    expected = {
        ("remove-background", "e/flat.png"): (422, "no_subject_found"),
        ("remove-background", "e/text.png"): (422, "invalid_image"),
        ("upscale", "e/cut.png"): (422, "invalid_image"),
        ("upscale", "e/large.png"): (413, "image_too_large"),
        ("upscale", "e/nothing.png"): (404, "source_not_found"),
        ("upscale", "../e/flat.png"): (400, "bad_request"),
    }
    for (stage, source), verdict in expected.items():
        assert problem(service.call(stage, source, "e/out.png")) == verdict, source
    assert problem(service.client.post("/v1/upscale", json={"job_id": "j"})) == (400, "bad_request")
    assert problem(service.client.post("/v1/nothing"))[0] == 404
    assert not service.storage.exists(BlobRef(container=JOBS, name="e/out.png"))


def _flat() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 90, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def odd_pictures() -> dict[str, bytes]:
    """Every unusual picture that is one."""
    wide = Image.fromarray(np.tile(np.linspace(0, 65535, 30).astype(np.uint16), (40, 1)))
    exif = Image.Exif()
    exif[0x0112] = 6
    made: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "16 bits": (wide, "PNG", {}),
        "cmyk": (Image.new("CMYK", (30, 40), (0, 255, 255, 0)), "JPEG", {}),
        "palette": (Image.radial_gradient("L").resize((30, 40)).convert("P"), "PNG", {"transparency": 3}),
        "grey": (Image.radial_gradient("L").resize((30, 40)), "PNG", {}),
        "1 bit": (Image.radial_gradient("L").resize((30, 40)).convert("1"), "PNG", {}),
        "rotated": (Image.new("RGB", (40, 30), (9, 99, 199)), "JPEG", {"exif": exif}),
        "1x1": (Image.new("RGB", (1, 1), (200, 100, 50)), "PNG", {}),
        "10000x1": (Image.linear_gradient("L").resize((10000, 1)).convert("RGB"), "PNG", {}),
        "flat black": (Image.new("RGB", (30, 40)), "PNG", {}),
        "flat white": (Image.new("RGB", (30, 40), (255, 255, 255)), "WEBP", {"lossless": True}),
        "transparent": (Image.new("RGBA", (30, 40)), "PNG", {}),
    }
    encoded = {}
    for name, (image, kind, options) in made.items():
        image.save(buffer := io.BytesIO(), kind, **options)
        encoded[name] = buffer.getvalue()
    frames = [Image.new("RGB", (30, 40), colour) for colour in ("red", "blue")]
    frames[0].save(buffer := io.BytesIO(), "PNG", save_all=True, append_images=frames[1:])
    return {**encoded, "animated": buffer.getvalue()}


def broken_pictures() -> dict[str, bytes]:
    """Every file that is no picture."""
    photo = PHOTO.read_bytes()
    whole = png((60, 60))
    return {
        "cut photo": photo[: len(photo) // 2],
        "cut header": whole[:20],
        "cut png": whole[: len(whole) * 2 // 3],
        "empty": b"",
        "text": b"GIF89a is no picture",
        "wrong checksum": whole[:50] + bytes([whole[50] ^ 255]) + whole[51:],
    }


def expected(data: bytes) -> np.ndarray:
    """Four times as large by plain interpolation: near enough to tell one picture from another."""
    picture = pictures.read(data, 1.0)
    pixels = np.asarray(picture.convert("RGBA").resize((picture.width * 4, picture.height * 4)))
    return pixels[..., :3].astype(int) * (pixels[..., 3:] > 0)


def test_odd_and_broken_pictures_at_once_never_mix(roomy: Service) -> None:
    good, bad = odd_pictures(), broken_pictures()
    for name, data in (good | bad).items():
        roomy.put(f"h/{name}", data)
    names = [*good, *bad] * 2
    with ThreadPoolExecutor(len(names)) as pool:
        calls = [
            pool.submit(roomy.call, "upscale", f"h/{name}", f"h/{number}-out.png")
            for number, name in enumerate(names)
        ]
        answers = [call.result() for call in calls]
    for number, (name, answer) in enumerate(zip(names, answers, strict=True)):
        if name in bad:
            assert problem(answer) == (422, "invalid_image"), name
            assert not roomy.storage.exists(BlobRef(container=JOBS, name=f"h/{number}-out.png"))
            continue
        assert answer.status_code == 200, (name, answer.text)
        with roomy.get(f"h/{number}-out.png") as upscaled:
            pixels = np.asarray(upscaled.convert("RGBA"))
        colour = pixels[..., :3].astype(int) * (pixels[..., 3:] > 0)
        wanted = expected(good[name])
        assert colour.shape == wanted.shape, name
        assert np.abs(colour - wanted).mean() < 30, name


@pytest.mark.parametrize("name", ["flat black", "flat white", "transparent", "1x1"])
def test_pictures_without_a_subject_are_refused_and_not_invented(service: Service, name: str) -> None:
    service.put(f"i/{name}", odd_pictures()[name])
    answer = service.call("remove-background", f"i/{name}", f"i/{name}-out.png")
    assert problem(answer) == (422, "no_subject_found")


def test_a_deadline_that_passed_is_504(service: Service) -> None:
    service.put("f/in.png", png((40, 30)))
    answer = service.call("upscale", "f/in.png", "f/out.png", **{"X-Deadline": f"{time.time() - 5:.3f}"})
    assert problem(answer) == (504, "deadline_exceeded")


def test_who_would_wait_too_long_is_told_when_to_come_back(service: Service) -> None:
    for number in range(8):
        service.put(f"g/{number}.png", png((500, 400)))
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(service.call, "upscale", f"g/{n}.png", f"g/{n}-out.png") for n in range(8)]
        answers = [call.result() for call in calls]
    turned_away = [answer for answer in answers if answer.status_code == 429]
    assert turned_away
    assert all(float(answer.headers["Retry-After"]) >= 1 for answer in turned_away)
    assert {problem(answer)[1] for answer in turned_away} == {"gpu_busy"}
    assert [answer for answer in answers if answer.status_code == 200]


def test_a_job_is_told_its_place_and_its_tiles(roomy: Service) -> None:
    names = [f"place-{number}" for number in range(3)]
    for name in names:
        roomy.put(f"{name}/in.png", png((460, 350)))
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with ThreadPoolExecutor(3) as pool:
        calls = []
        for name in names:
            calls.append(pool.submit(roomy.call, "upscale", f"{name}/in.png", f"{name}/out.png", name))
            time.sleep(0.1)
        while not all(call.done() for call in calls):
            for name in names:
                answer = roomy.client.get(f"/v1/jobs/{name}")
                if answer.status_code == 200:
                    told[name].append(answer.json())
            time.sleep(0.02)
        assert [call.result().status_code for call in calls] == [200, 200, 200]
    assert {each["ahead"] for each in told[names[0]]} == {0}
    assert max(each["ahead"] for each in told[names[2]]) == 2
    expected = [each["expected_s"] for each in told[names[2]] if each["expected_s"] is not None]
    assert expected[-1] < max(expected)
    ends = [call.result().json() for call in calls]
    waits = [end["waited_ms"] for end in ends]
    assert waits[0] < waits[2], "who came last has waited most"
    assert all(end["duration_ms"] > 0 for end in ends)
    done = [each["tiles_done"] for each in told[names[1]] if each["tiles_total"]]
    assert done == sorted(done)
    assert {each["tiles_total"] for each in told[names[1]] if each["tiles_total"]} == {
        calls[1].result().json()["tiles"]
    }
    assert problem(roomy.client.get(f"/v1/jobs/{names[1]}"))[0] == 404


def until_done(service: Service, *order: str, **headers: str) -> list[httpx.Response]:
    """Repeat a call until it is not told to come back."""
    answers = [service.call(*order, **headers)]
    until = time.monotonic() + 60
    while answers[-1].status_code == 202 and time.monotonic() < until:
        time.sleep(0.05)
        answers.append(service.call(*order, **headers))
    return answers


def test_a_caller_who_does_not_wait_is_told_how_far_it_is_and_comes_back(roomy: Service) -> None:
    roomy.put("async/in.png", png((900, 540)))
    *told, last = until_done(roomy, "upscale", "async/in.png", "async/out.png", "async", Prefer="wait=0")
    assert last.status_code == 200, last.text
    assert {answer.status_code for answer in told} == {202}
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in told)
    assert told[0].headers["Preference-Applied"] == "wait=0"
    tiles = [body["tiles_done"] for answer in told if (body := answer.json())["tiles_total"]]
    assert tiles == sorted(tiles)
    assert all((answer.json()["expected_s"] or 0) >= 0 for answer in told)
    report = last.json()
    assert not report["reused"], "the end was kept for the caller who comes back"
    assert report["tiles"] == (tiles and told[-1].json()["tiles_total"])
    again = roomy.call("upscale", "async/in.png", "async/out.png", "async")
    assert again.json()["reused"], "once it was told, the picture alone is kept"


def test_a_caller_who_waits_long_enough_hears_the_end_at_once(roomy: Service) -> None:
    roomy.put("short/in.png", png((40, 30)))
    answer = roomy.call("upscale", "short/in.png", "short/out.png", "short", Prefer="respond-async, wait=60")
    assert (answer.status_code, answer.json()["reused"]) == (200, False)


def test_who_would_wait_in_vain_is_told_early(roomy: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StageService, "_left_s", lambda *_: 1000.0)
    roomy.put("vain/in.png", png((1000, 990)))
    began = time.monotonic()
    answer = roomy.call("upscale", "vain/in.png", "vain/out.png", "vain", Prefer="wait=200")
    if answer.status_code == 202:
        assert answer.headers["Retry-After"] == "60"
        assert time.monotonic() - began < 60
    roomy.client.delete("/v1/jobs/vain")


def test_an_error_is_kept_for_the_caller_who_comes_back(roomy: Service) -> None:
    roomy.put("late/in.png", b"no picture")
    *_, last = until_done(roomy, "upscale", "late/in.png", "late/out.png", "late", Prefer="wait=0")
    assert problem(last) == (422, "invalid_image")
    roomy.put("late/in.png", png((8, 8)))
    *_, last = until_done(roomy, "upscale", "late/in.png", "late/out.png", "late", Prefer="wait=0")
    assert last.status_code == 200, "it is told once; then the picture is looked at again"


def test_work_goes_on_until_the_last_deadline_that_a_caller_brought(roomy: Service) -> None:
    roomy.put("more/in.png", png((700, 600)))
    order = ("upscale", "more/in.png", "more/out.png", "more")
    soon = {"X-Deadline": f"{time.time() + 0.3:.3f}"}
    assert roomy.call(*order, Prefer="wait=0", **soon).status_code == 202
    later = {"X-Deadline": f"{time.time() + 100:.3f}"}
    assert roomy.call(*order, Prefer="wait=0", **later).status_code == 202
    assert roomy.call(*order, **later).status_code == 200
    soon = {"X-Deadline": f"{time.time() + 0.3:.3f}"}
    *_, last = until_done(roomy, "upscale", "more/in.png", "less.png", "less", Prefer="wait=0", **soon)
    assert problem(last) == (504, "deadline_exceeded")


def test_a_cancelled_job_leaves_the_device_and_may_come_again(roomy: Service) -> None:
    roomy.put("gone/in.png", png((520, 440)))
    order = ("upscale", "gone/in.png", "gone/out.png", "gone")
    assert roomy.call(*order, Prefer="wait=0").status_code == 202
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(roomy.call, *order)
        while waiting.running() and not roomy.client.get("/v1/jobs/gone").json()["tiles_total"]:
            time.sleep(0.02)
        assert roomy.client.delete("/v1/jobs/gone").status_code == 204
        assert problem(waiting.result()) == (409, "cancelled")
    assert problem(roomy.client.get("/v1/jobs/gone"))[0] == 404
    assert not roomy.storage.exists(BlobRef(container=JOBS, name="gone/out.png"))
    assert roomy.client.delete("/v1/jobs/unknown").status_code == 204
    assert roomy.call(*order).status_code == 200


def test_a_long_work_that_is_taken_over_goes_on_where_it_was(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "KEPT_FROM_S", 0.0)
    settings = GpuSettings(model_cache=cache, memory=MemoryWords(tile=128))
    order = ("upscale", "long/in.png", "long/out.png", "long")
    first = Service(settings, LocalStorage(tmp_path))
    first.wait()
    first.put("long/in.png", png((300, 900)))
    assert first.call(*order, Prefer="wait=0").status_code == 202
    until = time.monotonic() + 60
    while not list(first.storage.list(JOBS, "long/out.png.rows/")) and time.monotonic() < until:
        time.sleep(0.01)
    first.client.delete("/v1/jobs/long")
    first.stop()
    second = Service(settings, LocalStorage(tmp_path))
    try:
        second.wait()
        report = second.call(*order).json()
        assert report["resumed_tiles"] > 0
        assert report["tiles"] + report["resumed_tiles"] == 3 * 10
        with second.get("long/out.png") as upscaled:
            assert upscaled.size == (1200, 3600)
        assert list(second.storage.list(JOBS, "long/out.png.rows/")) == []
    finally:
        second.stop()


def test_health_and_metrics_tell_the_truth(service: Service) -> None:
    health = service.client.get("/healthz").json()
    assert (health["state"], health["models"]) == ("READY", {"rembg": "ok", "realesrgan": "ok"})
    assert "gpu_vram_usage_gauge{replica=" in service.client.get("/metrics").text


def test_each_report_has_the_health_that_nobody_else_asks_for(service: Service) -> None:
    service.put("h.png", png((20, 20)))
    for _ in ("computed", "found"):
        told = service.call("upscale", "h.png", "h-out.png").json()["health"]
        assert told["state"] in {"READY", "BUSY"}
        assert {**told, "state": "READY"} == {**service.client.get("/healthz").json(), "state": "READY"}
        assert told["queue"]["running"] == 0, "its own work has ended"


def test_it_listens_before_its_models_are_loaded(cache: Path, tmp_path: Path) -> None:
    service = Service(GpuSettings(model_cache=cache), LocalStorage(tmp_path))
    try:
        service.wait("/healthz")
        service.put("x.png", png((20, 20)))
        first = service.call("upscale", "x.png", "y.png")
        if first.status_code != 200:
            assert problem(first) == (503, "gpu_starting")
            assert float(first.headers["Retry-After"]) > 0
        service.wait()
        assert service.call("upscale", "x.png", "y.png").status_code == 200
    finally:
        service.stop()


def test_a_corrupt_model_takes_only_its_own_stage_away(cache: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for file in ALL_FILES:
        shutil.copy(file.path(cache), models)
    BACKGROUND_MODELS["u2netp"].file.path(models).write_bytes(b"broken")
    service = Service(GpuSettings(model_cache=models), LocalStorage(tmp_path / "store"))
    try:
        service.wait_loaded()
        health = service.client.get("/healthz").json()
        assert health["state"] == "SETUP_FAILED"
        assert "corrupt" in health["models"]["rembg"]
        assert health["models"]["realesrgan"] == "ok"
        assert service.client.get("/readyz").status_code == 503
        service.put("x.png", png((20, 20)))
        assert problem(service.call("remove-background", "x.png", "y.png")) == (503, "model_unavailable")
        assert service.call("upscale", "x.png", "z.png").status_code == 200
    finally:
        service.stop()
