"""The dashboard in a real browser, with the running stack, Azurite and PostgreSQL."""

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
# what the browser itself logs when the network is down, or a response is not a success
_EXPECTED = ("net::ERR_", "Failed to load resource")


@dataclass
class Pictures:
    """Where screenshots go: the folder named by SCREENSHOTS, or a temporary one."""

    folder: Path

    def take(self, page: Page, name: str, *, whole: bool = False) -> None:
        """Save what the page shows, as WebP."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with Image.open(io.BytesIO(page.screenshot(full_page=whole, animations="disabled"))) as shown:
            shown.convert("RGB").save(self.folder / f"{name}.webp", quality=82, method=6)


@dataclass
class ConsoleErrors:
    """Errors on a page's console that no test expects."""

    lines: list[str] = field(default_factory=list)

    def note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(text in message.text for text in _EXPECTED):
            self.lines.append(message.text)


@pytest.fixture(scope="package")
def stack(prod_stack: Stack) -> Stack:
    """The running stack with the built dashboard."""
    assert (BUILT / "index.html").is_file(), "the dashboard is not built: make setup"
    return prod_stack


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
def console_errors() -> ConsoleErrors:
    return ConsoleErrors()


@pytest.fixture
def visitor(browser: Browser, stack: Stack, console_errors: ConsoleErrors) -> Iterator[Page]:
    """A page where nobody is signed in; errors on its console fail the test."""
    context = browser.new_context(
        base_url=str(stack.client.base_url), viewport=_DESKTOP, reduced_motion="reduce"
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.on("console", console_errors.note)
    page.on("pageerror", lambda error: console_errors.lines.append(str(error)))
    yield page
    context.close()
    assert console_errors.lines == []


@pytest.fixture
def page(visitor: Page, key: str) -> Page:
    """A page where the operator is signed in, by a link such as ``make run`` prints."""
    visitor.goto(f"/#key={key}")
    visitor.get_by_test_id("sign-out").wait_for()
    return visitor


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    folder = os.environ.get("SCREENSHOTS")
    return Pictures(Path(folder) if folder else tmp_path_factory.mktemp("screenshots"))


@pytest.fixture(scope="package")
def completed(stack: Stack) -> str:
    """The id of a completed job."""
    job_id = stack.submit(PHOTO.read_bytes(), prompt="on a rustic wooden table, warm morning light")
    assert stack.wait_for_end(job_id)["state"] == "COMPLETED"
    return job_id


@pytest.fixture(autouse=True)
def put_back(stack: Stack) -> Iterator[None]:
    """What one test did to the stack must not reach the next."""
    yield
    stack.put_back()
