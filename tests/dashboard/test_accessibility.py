"""axe on every view, light and dark, on a desktop and on a phone; and a job sent by keyboard alone."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize, expect

from tests.dashboard.conftest import Pictures

Scheme = Literal["light", "dark"]
VIEWS = (
    "/",
    "/jobs",
    "/jobs/{job}",
    "/batches",
    "/logs",
    "/metrics",
    "/operations",
    "/verify",
    "/jobs/no-such-job",
)
_PHONE: ViewportSize = {"width": 360, "height": 740}


# what the colours can break; all else is the same in the dark
_OF_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


def violations(page: Page, options: dict[str, Any] | None = None) -> list[str]:
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{each['id']}: {each['help']} ({', '.join(node['html'][:120] for node in each['nodes'][:3])})"
        for each in found
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_has_a_violation(page: Page, completed: str, scheme: Scheme) -> None:
    page.emulate_media(color_scheme=scheme)
    found = {}
    for view in VIEWS:
        page.goto(view.format(job=completed))
        page.wait_for_load_state("load")
        expect(page.get_by_role("main")).to_be_visible()
        page.wait_for_timeout(1500)
        found[view] = violations(page, _OF_COLOURS if scheme == "dark" else None)
    assert {view: each for view, each in found.items() if each} == {}


def test_the_sign_in_has_no_violation(visitor: Page) -> None:
    visitor.goto("/")
    expect(visitor.get_by_test_id("sign-in-form")).to_be_visible()
    assert violations(visitor) == []


def test_a_phone_shows_everything_without_scrolling_sideways(
    page: Page, completed: str, pictures: Pictures
) -> None:
    page.set_viewport_size(_PHONE)
    for view in VIEWS:
        page.goto(view.format(job=completed))
        page.wait_for_load_state("load")
        page.wait_for_timeout(800)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= _PHONE["width"], f"{view} is {wide} px wide"
        assert violations(page) == [], view
    page.goto(f"/jobs/{completed}")
    page.wait_for_load_state("networkidle")
    pictures.take(page, "phone")


def test_the_dark_theme_is_dark(page: Page, completed: str, pictures: Pictures) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(f"/jobs/{completed}")
    page.wait_for_load_state("networkidle")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    numbers = page.evaluate(
        """colour => {
            const canvas = document.createElement('canvas').getContext('2d');
            canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
        }""",
        colour,
    )
    assert max(numbers) < 80
    pictures.take(page, "job-dark")


def test_a_job_is_sent_by_keyboard_alone(page: Page) -> None:
    page.goto("/")
    sample = page.get_by_test_id("use-sample")
    for _ in range(60):
        page.keyboard.press("Tab")
        if sample.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Chosen photos").get_by_role("listitem")).to_have_count(1)
    submit = page.get_by_test_id("submit")
    for _ in range(60):
        if submit.evaluate("element => element === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/*")
