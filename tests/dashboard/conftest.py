"""The dashboard in a real browser, over the running stack with Azurite and PostgreSQL."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, expect, sync_playwright

from api.dashboard import BUILT
from imagery.principal import Role
from testbed.stack import PHOTO, Stack
from tests.e2e.conftest import environment_of

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=20_000)
_DESKTOP: ViewportSize = {"width": 1280, "height": 860}
# what the browser itself says when the network is away, or an answer is no success
_EXPECTED = ("net::ERR_", "Failed to load resource")


@dataclass
class Pictures:
    """Where screenshots go: the folder in SCREENSHOTS, or one of the test run."""

    folder: Path

    def take(self, page: Page, name: str, *, whole: bool = False) -> None:
        """Keep what the page shows, as WebP."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with Image.open(io.BytesIO(page.screenshot(full_page=whole, animations="disabled"))) as shown:
            shown.convert("RGB").save(self.folder / f"{name}.webp", quality=82, method=6)


@dataclass
class Told:
    """What the console said that it should not."""

    lines: list[str] = field(default_factory=list)

    def note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(text in message.text for text in _EXPECTED):
            self.lines.append(message.text)


@pytest.fixture(scope="package")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All pieces, running, with the built dashboard."""
    assert (BUILT / "index.html").is_file(), "the dashboard is not built: make setup"
    folder = tmp_path_factory.mktemp("dashboard")
    running = Stack(folder, environment_of("PROD", request, str(folder / "store")))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="package")
def key(stack: Stack) -> str:
    """An operator's key."""
    return stack.users().create("Ada Operator", Role.OPERATOR)[1]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def stranger(browser: Browser, stack: Stack, told: Told) -> Iterator[Page]:
    """A page that nobody has signed in to; errors on its console fail the test."""
    context = browser.new_context(
        base_url=str(stack.client.base_url), viewport=_DESKTOP, reduced_motion="reduce"
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.on("console", told.note)
    page.on("pageerror", lambda error: told.lines.append(str(error)))
    yield page
    context.close()
    assert told.lines == []


@pytest.fixture
def page(stranger: Page, key: str) -> Page:
    """A page that the operator has signed in to, as ``make run`` prints its link."""
    stranger.goto(f"/#key={key}")
    stranger.get_by_test_id("sign-out").wait_for()
    return stranger


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    folder = os.environ.get("SCREENSHOTS")
    return Pictures(Path(folder) if folder else tmp_path_factory.mktemp("screenshots"))


@pytest.fixture(scope="package")
def completed(stack: Stack) -> str:
    """A job that went all the way."""
    job_id = stack.submit(PHOTO.read_bytes(), prompt="on a rustic wooden table, warm morning light")
    assert stack.wait_for_end(job_id)["state"] == "COMPLETED"
    return job_id


@pytest.fixture(autouse=True)
def no_faults(stack: Stack) -> Iterator[None]:
    yield
    stack.bill_client.delete("/_simulator/faults")
