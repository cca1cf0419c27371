"""What a person sees of a job: upload, stages, comparison, cancel, retry, reload, no network."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

from testbed.pictures import encoded, small_photo
from testbed.stack import PHOTO, Stack
from tests.dashboard.conftest import Pictures

STAGES = ("guardrail", "rembg", "realesrgan", "nano_banana")
_JOB_LIMIT_MS = 90_000


def new_job(page: Page, prompt: str = "", photo: bytes | None = None) -> str:
    """Upload a photo, the small one by default. Returns the job's id once its page is open."""
    page.goto("/")
    page.get_by_test_id("file-input").set_input_files(
        {"name": "coffee.jpg", "mimeType": "image/jpeg", "buffer": photo or small_photo()}
    )
    if prompt:
        page.get_by_test_id("prompt").fill(prompt)
    page.get_by_test_id("submit").click()
    page.wait_for_url("**/jobs/*")
    return page.url.rstrip("/").rsplit("/", 1)[-1]


def blank() -> bytes:
    """A picture with nothing on it."""
    file = io.BytesIO()
    Image.new("RGB", (300, 300), (128, 128, 128)).save(file, "PNG")
    return file.getvalue()


def wait_until_quiet(stack: Stack) -> None:
    """Wait until no job is open: a fault meant for one job must not hit another."""
    query = {"state": ["QUEUED", "VALIDATING", "RUNNING"]}
    until = time.monotonic() + 90
    while stack.client.get("/api/v1/jobs", params=query).json()["jobs"]:
        assert time.monotonic() < until, "jobs of other tests do not end"
        time.sleep(0.3)


def state(page: Page) -> Locator:
    return page.get_by_test_id("job-state").first


def step(page: Page, stage: str) -> Locator:
    return page.get_by_test_id(f"step-{stage}")


def shown(locator: Locator) -> bytes:
    return locator.screenshot(animations="disabled")


def test_a_photo_is_followed_through_all_four_steps(page: Page, stack: Stack, pictures: Pictures) -> None:
    prompt = "on a rustic wooden table, warm morning light"
    job_id = new_job(page, prompt, PHOTO.read_bytes())
    seen: set[str] = set()
    until = time.monotonic() + _JOB_LIMIT_MS / 1000
    while state(page).get_attribute("data-state") != "COMPLETED" and time.monotonic() < until:
        seen |= {
            stage
            for stage in STAGES
            if step(page, stage).get_attribute("data-state") in {"RUNNING", "SUCCEEDED"}
        }
        time.sleep(0.1)
    expect(state(page)).to_have_attribute("data-state", "COMPLETED")
    assert seen == set(STAGES)
    for stage in STAGES:
        expect(step(page, stage)).to_have_attribute("data-state", "SUCCEEDED")
    expect(step(page, "nano_banana")).to_contain_text("0.08")
    assert stack.status(job_id)["state"] == "COMPLETED"
    assert stack.bill(job_id)["billed"] == 1
    expect(page.get_by_test_id("picture")).to_have_attribute("data-picture", "nano_banana")
    expect(page.get_by_test_id("simulated")).to_be_visible()
    page.wait_for_load_state("networkidle")
    pictures.take(page, "job")


def test_the_slider_compares_any_two_stages(page: Page, completed: str) -> None:
    page.goto(f"/jobs/{completed}")
    page.get_by_test_id("compare-mode").click()
    compare = page.get_by_test_id("compare")
    compare.scroll_into_view_if_needed()
    page.get_by_test_id("compare-before").select_option("source")
    page.get_by_test_id("compare-after").select_option("realesrgan")
    page.wait_for_load_state("networkidle")
    expect(compare.locator("img").first).to_be_visible()
    handle = page.get_by_test_id("compare-handle")
    handle.focus()
    half = shown(compare)
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    left = shown(compare)
    assert left != half
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    assert shown(compare) not in {left, half}
    page.get_by_test_id("compare-after").select_option("nano_banana")
    page.wait_for_load_state("networkidle")
    other = shown(compare)
    page.get_by_test_id("zoom-in").click()
    page.get_by_test_id("zoom-in").click()
    zoomed = shown(compare)
    assert zoomed != other
    page.get_by_test_id("zoom-fit").click()
    expect(compare).to_be_visible()
    assert shown(compare) != zoomed


def test_a_finger_scrolls_the_page_over_the_picture_until_it_is_zoomed(page: Page, completed: str) -> None:
    page.goto(f"/jobs/{completed}")
    picture = page.get_by_test_id("picture")
    expect(picture).to_have_css("touch-action", "pan-y")
    page.wait_for_load_state("networkidle")
    page.get_by_test_id("zoom-in").click()
    expect(picture).to_have_css("touch-action", "none")


@pytest.mark.parametrize("store", ["links", "files"])
def test_download_saves_the_picture_and_the_page_stays(
    page: Page, stack: Stack, completed: str, store: str
) -> None:
    address = f"/api/v1/jobs/{completed}/images/rembg"
    bytes_ = stack.client.get(address, follow_redirects=True).content
    if store == "files":
        # as the API answers where the store has no links
        page.route(
            f"**{address}?download=1", lambda route: route.fulfill(body=bytes_, content_type="image/png")
        )
    page.goto(f"/jobs/{completed}")
    page.get_by_test_id("show-rembg").click()
    with page.expect_download() as saving:
        page.get_by_test_id("download").click()
    saved = saving.value
    assert saved.suggested_filename.endswith("-cutout.png")
    assert Path(saved.path()).read_bytes() == bytes_
    assert page.url.endswith(f"/jobs/{completed}")
    expect(page.get_by_test_id("picture")).to_be_visible()


def test_a_phone_shows_the_picture_before_the_steps_and_nothing_jumps(page: Page, completed: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.add_init_script(
        """window.shifts = []; new PerformanceObserver(list => {
            for (const each of list.getEntries()) if (!each.hadRecentInput)
                window.shifts.push([each.value, ...each.sources.map(at => at.node?.outerHTML?.slice(0, 90))]);
        }).observe({ type: 'layout-shift', buffered: true });"""
    )
    page.goto(f"/jobs/{completed}")
    page.wait_for_load_state("networkidle")
    picture = page.get_by_test_id("picture").bounding_box()
    steps = page.get_by_role("list", name="Stages").bounding_box()
    assert picture is not None
    assert steps is not None
    assert picture["y"] + picture["height"] < 844, "the whole picture is seen without scrolling"
    assert picture["y"] < steps["y"]
    for view in (page.url, "/jobs"):
        page.goto(view)
        page.wait_for_load_state("networkidle")
        shifts = page.evaluate("window.shifts")
        assert sum(each[0] for each in shifts) <= 0.05, shifts


def test_the_pictures_are_really_loaded(page: Page, completed: str) -> None:
    page.goto(f"/jobs/{completed}")
    page.wait_for_load_state("networkidle")
    sizes = page.locator("img").evaluate_all("found => found.map(each => each.naturalWidth)")
    assert sizes
    assert all(sizes), "a picture that does not load has no width"


def test_a_job_shows_the_guardrails_report(page: Page, completed: str) -> None:
    page.goto(f"/jobs/{completed}")
    report = page.get_by_test_id("guardrail-report")
    expect(report).to_be_attached()
    rows = report.get_by_test_id("check-row")
    expect(rows.first).to_be_attached()
    assert rows.count() >= 5


def test_a_rejected_photo_shows_why(page: Page, pictures: Pictures) -> None:
    page.goto("/")
    page.get_by_test_id("file-input").set_input_files(
        {"name": "blank.png", "mimeType": "image/png", "buffer": blank()}
    )
    page.get_by_test_id("submit").click()
    item = page.get_by_test_id("upload-item").first
    expect(item).to_have_attribute("data-state", "rejected")
    expect(item).to_contain_text("Choose another one")
    pictures.take(page, "rejected")


def test_a_photo_that_breaks_a_limit_is_not_sent(page: Page) -> None:
    page.goto("/")
    page.get_by_test_id("file-input").set_input_files(
        {"name": "tiny.png", "mimeType": "image/png", "buffer": encoded("PNG", size=(16, 16))}
    )
    expect(page.get_by_test_id("chosen")).to_contain_text("px is too small")
    expect(page.get_by_test_id("submit")).to_be_disabled()


def test_the_sample_needs_no_file(page: Page) -> None:
    page.goto("/")
    page.get_by_test_id("use-sample").click()
    expect(page.get_by_role("list", name="Chosen photos").get_by_role("listitem")).to_have_count(1)
    page.get_by_test_id("submit").click()
    page.wait_for_url("**/jobs/*")


def test_several_photos_are_followed_side_by_side(page: Page) -> None:
    page.goto("/")
    photos: list[FilePayload] = [
        {"name": f"{name}.jpg", "mimeType": "image/jpeg", "buffer": small_photo()} for name in "abc"
    ]
    page.get_by_test_id("file-input").set_input_files(photos)
    page.get_by_test_id("prompt").fill("all three at once")
    page.get_by_test_id("submit").click()
    for number in range(3):
        expect(page.get_by_test_id("upload-item").nth(number)).to_have_attribute(
            "data-state", "accepted", timeout=60_000
        )


@pytest.fixture
def no_gpu(stack: Stack) -> Iterator[Stack]:
    """An operator holds all calls of the GPU service back."""
    circuit = "/api/v1/circuit-breakers/gpu"
    assert stack.client.post(circuit, json={"state": "open"}).status_code == 200
    yield stack
    stack.client.post(circuit, json={"state": "closed"})


def test_a_waiting_job_shows_why_survives_a_reload_and_is_cancelled(page: Page, no_gpu: Stack) -> None:
    job_id = new_job(page, "waiting for a GPU")
    expect(step(page, "rembg")).to_have_attribute("data-state", "WAITING", timeout=30_000)
    expect(step(page, "rembg")).to_contain_text(re.compile("GPU", re.I))
    page.reload()
    expect(step(page, "rembg")).to_have_attribute("data-state", re.compile("WAITING|RUNNING"))
    page.get_by_test_id("cancel").first.click()
    expect(state(page)).to_have_attribute("data-state", "CANCELLED", timeout=30_000)
    assert no_gpu.bill(job_id)["billed"] == 0


def test_a_failed_job_is_retried_from_where_it_stopped(page: Page, stack: Stack, pictures: Pictures) -> None:
    wait_until_quiet(stack)
    stack.faults("safety")
    job_id = new_job(page, "refused by the paid service")
    expect(state(page)).to_have_attribute("data-state", "FAILED", timeout=_JOB_LIMIT_MS)
    expect(step(page, "nano_banana")).to_have_attribute("data-state", "REJECTED")
    page.wait_for_load_state("networkidle")
    pictures.take(page, "failed")
    cut_out = stack.status(job_id)["stages"][1]["attempt"]
    page.get_by_test_id("retry").first.click()
    expect(state(page)).to_have_attribute("data-state", "COMPLETED", timeout=_JOB_LIMIT_MS)
    assert stack.status(job_id)["stages"][1]["attempt"] == cut_out, "finished stages are kept"


def test_the_page_recovers_when_the_network_was_lost(page: Page) -> None:
    new_job(page, "without a network")
    expect(state(page)).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_test_id("offline-banner")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_test_id("offline-banner")).to_be_hidden(timeout=30_000)
    expect(state(page)).to_have_attribute("data-state", "COMPLETED", timeout=_JOB_LIMIT_MS)


def test_jobs_are_listed_with_thumbnails_and_filtered(page: Page, completed: str, pictures: Pictures) -> None:
    page.goto("/jobs")
    row = page.locator(f'[data-testid="job-row"][data-job-id="{completed}"]')
    expect(row).to_be_visible()
    expect(row.locator("img").first).to_be_visible()
    page.wait_for_load_state("load")
    pictures.take(page, "jobs")
    page.get_by_test_id("filter-REJECTED").click()
    expect(row).to_have_count(0)
    page.get_by_test_id("filter-COMPLETED").click()
    expect(row).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("filter-COMPLETED")).to_have_attribute("aria-pressed", "true")
    page.get_by_test_id("view-toggle").click()
    expect(row).to_be_visible()
    states = page.get_by_test_id("job-row").evaluate_all("rows => rows.map(row => row.dataset.state)")
    assert set(states) == {"COMPLETED"}
