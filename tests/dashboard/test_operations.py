"""Sign-in, logs, metrics and the operator's views."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlmodel import select

from imagery.database.engine import Database, make_engine
from imagery.database.tables import GpuAnswer, utc_now
from imagery.principal import Role
from testbed.pictures import small_photo
from testbed.stack import Stack
from tests.dashboard.conftest import Pictures
from tests.e2e.hosts import put_upload


def test_a_person_signs_in_and_out(visitor: Page, key: str, pictures: Pictures) -> None:
    visitor.goto("/jobs")
    expect(visitor.get_by_test_id("sign-in-form")).to_be_visible()
    pictures.take(visitor, "sign-in")
    visitor.get_by_test_id("api-key").fill("igp_k3mz9wq2xa_wrong")
    visitor.get_by_test_id("sign-in").click()
    expect(visitor.get_by_test_id("sign-in-form")).to_contain_text(re.compile("revoked or expired", re.I))
    visitor.get_by_test_id("api-key").fill(key)
    visitor.get_by_test_id("sign-in").click()
    expect(visitor.get_by_test_id("sign-out")).to_be_visible()
    visitor.get_by_test_id("sign-out").click()
    expect(visitor.get_by_test_id("sign-in-form")).to_be_visible()
    visitor.reload()
    expect(visitor.get_by_test_id("sign-in-form")).to_be_visible()


def test_the_link_of_the_terminal_signs_in_and_leaves_no_key_behind(page: Page, key: str) -> None:
    assert key not in page.url
    assert "#" not in page.url
    page.reload()
    expect(page.get_by_test_id("sign-out")).to_be_visible()
    kept = page.evaluate(
        "JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage}) + document.cookie"
    )
    assert key not in kept


def test_logs_are_filtered_and_followed_live(
    page: Page, stack: Stack, completed: str, pictures: Pictures
) -> None:
    page.goto("/logs")
    rows = page.get_by_test_id("log-row")
    expect(rows.first).to_be_visible()
    expect(page.get_by_test_id("log-connection")).to_have_attribute("data-state", "live")
    page.get_by_test_id("log-job").fill(completed)
    expect(rows.filter(has_text="job_completed").first).to_be_visible()
    pictures.take(page, "logs")
    page.get_by_test_id("log-stage").select_option("realesrgan")
    expect(rows.first).to_have_attribute("data-stage", "realesrgan")
    stages = rows.evaluate_all("rows => rows.map(row => row.dataset.stage)")
    assert set(stages) == {"realesrgan"}
    page.get_by_test_id("log-stage").select_option("")
    page.get_by_test_id("log-text").fill("stage_finished")
    expect(rows).to_have_count(4)
    page.get_by_test_id("log-text").fill("")
    page.get_by_test_id("log-level").select_option("error")
    expect(rows).to_have_count(0)
    page.get_by_test_id("log-level").select_option("info")
    page.get_by_test_id("log-job").fill("")
    job_id = stack.submit(small_photo(), prompt="seen in the log")
    page.get_by_test_id("log-job").fill(job_id)
    expect(rows.filter(has_text="job_completed").first).to_be_visible(timeout=60_000)
    ids = rows.evaluate_all("rows => rows.map(row => row.dataset.eventId)")
    assert len(ids) == len(set(ids))


def test_metrics_are_drawn_from_the_scrape(page: Page, completed: str, pictures: Pictures) -> None:
    page.goto("/metrics")
    for name in ("latency", "throughput", "spend", "verdicts", "vram", "breakers"):
        expect(page.get_by_test_id(f"chart-{name}")).to_be_visible()
    drawing = page.get_by_test_id("chart-spend").get_by_role("img")
    expect(drawing).to_have_attribute("aria-label", re.compile(r"\$\d+\.\d\d paid"))
    # two more scrapes, so that there is a line
    expect(page.get_by_test_id("chart-spend")).to_have_attribute("data-points", "3")
    pictures.take(page, "metrics", whole=True)


def test_an_operator_pauses_and_resumes_calls(page: Page, stack: Stack, pictures: Pictures) -> None:
    page.goto("/operations")
    row = page.get_by_test_id("circuit-content_safety")
    expect(row).to_have_attribute("data-state", "closed")
    pictures.take(page, "operations", whole=True)
    row.get_by_role("button", name=re.compile("Pause calls")).click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text(re.compile(r"\d+ jobs? in progress now"))
    question.get_by_role("button", name="Keep calling").click()
    expect(row).to_have_attribute("data-state", "closed")
    row.get_by_role("button", name=re.compile("Pause calls")).click()
    page.get_by_test_id("pause").click()
    expect(row).to_have_attribute("data-state", "open")
    row.get_by_role("button", name=re.compile("Resume calls")).click()
    expect(row).to_have_attribute("data-state", "closed")


def gpu_answered(stack: Stack, ago: timedelta | None) -> None:
    """As if the GPU service had last answered so long ago; None: never."""
    with Database(make_engine(stack.database_url)).write() as session:
        row = session.exec(select(GpuAnswer)).one()
        if ago is None:
            session.delete(row)
        else:
            row.answered_at = utc_now() - ago
            session.add(row)


@pytest.mark.parametrize(
    ("ago", "state", "said"),
    [
        (timedelta(hours=3), "idle", "Last answered 3:00 h ago. It sleeps until a job needs it."),
        (timedelta(days=3), "idle", "Last answered 3 days ago. It sleeps until a job needs it."),
        (None, "unknown", "no job has needed it yet"),
    ],
    ids=["hours", "days", "never"],
)
def test_a_sleeping_gpu_is_no_alarm(
    page: Page, stack: Stack, completed: str, pictures: Pictures, ago: timedelta | None, state: str, said: str
) -> None:
    gpu_answered(stack, ago)
    page.goto("/operations")
    row = page.locator("[data-dependency=gpu]")
    expect(row).to_have_attribute("data-state", state)
    expect(row).to_contain_text(said)
    expect(page.get_by_test_id("health")).not_to_contain_text(" VRAM")
    pictures.take(page, f"operations-gpu-{state}", whole=True)
    page.goto("/metrics")
    expect(page.get_by_test_id("chart-vram")).to_be_visible()
    pictures.take(page, f"metrics-gpu-{state}", whole=True)


def test_users_see_only_their_own_jobs(visitor: Page, stack: Stack, completed: str) -> None:
    _, own = stack.users().create("Ben User", Role.USER)
    visitor.goto(f"/#key={own}")
    visitor.get_by_test_id("sign-out").wait_for()
    visitor.goto("/jobs")
    expect(visitor.get_by_test_id("job-row")).to_have_count(0)
    visitor.goto(f"/jobs/{completed}")
    expect(visitor.get_by_text(re.compile("no job|not found", re.I)).first).to_be_visible()


def test_a_batch_is_followed_item_by_item(page: Page, stack: Stack, pictures: Pictures) -> None:
    names = [f"storage/{uuid.uuid4()}/p{number}.jpg" for number in range(3)]
    items = [{"blob": put_upload(stack, name, small_photo()), "prompt": name[-6:]} for name in names]
    made = stack.client.post("/api/v1/batches", json={"items": [*items, {"blob": "uploads/gone.jpg"}]})
    assert made.status_code == 202, made.text
    page.goto("/batches")
    page.get_by_role("link", name=re.compile(made.json()["batch_id"][:8])).first.click()
    expect(page.get_by_test_id("batch-progress")).to_be_visible()
    expect(
        page.get_by_text("source_not_found").or_(page.get_by_text("uploads/gone.jpg")).first
    ).to_be_visible()
    bar = page.get_by_test_id("batch-progress")
    expect(bar).to_have_attribute("aria-valuenow", "100", timeout=90_000)
    expect(page.get_by_text("3 of 3 ended")).to_be_visible()
    page.wait_for_load_state("load")
    pictures.take(page, "batch")
