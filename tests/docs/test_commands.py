"""The commands of README and docs run as they are written, in their order, against one ``make run``."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator

import pytest

from tests.docs.blocks import Block, blocks
from tests.docs.terminal import Checkout, Network, interrupt, wait_for
from tests.docs.tree import markdown

_SERVING = "Ctrl-C"
_START_S = 240.0
_PAGE_S = 240.0
_MARK = "@@ block of line"

# CONTRIBUTING.md has a test of its own: each of its recipes changes the tree
PAGES = ["README.md", *sorted(page for page in markdown() if page.startswith("docs/"))]
ALL = [block for page in PAGES for block in blocks(page)]
SERVER = next(block for block in ALL if block.page == "README.md")
NOT_RUN = {
    ("README.md", "this test is part of it"),
    ("docs/use.md", "needs Azure Functions Core Tools"),
    ("docs/use.md", "needs the Azure CLI"),
    ("docs/use.md", "installs from a package index"),
    ("docs/operations.md", "needs a Docker engine"),
    ("docs/operations.md", "needs Azure"),
    ("docs/providers.md", "needs Azure"),
    ("docs/provenance.md", "needs Azure"),
    ("docs/providers.md", "needs Google Cloud"),
}


def runnable(page: str) -> list[Block]:
    return [
        block
        for block in blocks(page)
        if block.reason is None and block != SERVER and (block.needs is None or shutil.which(block.needs))
    ]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout in which README's first command serves, in a terminal of its own."""
    network = Network()
    try:
        checkout = Checkout(tmp_path_factory.mktemp("checkout") / "repository", network)
        due, said = checkout.run("make --question setup", 60)
        assert due == 0, f"'make setup' is due in this checkout: run it first. {said}"
        log = checkout.folder / ".run" / "make-run.txt"
        with log.open("w") as output:
            server = checkout.start(SERVER.text, output)
            try:
                wait_for(_SERVING, log, server, _START_S)
                assert " is COMPLETED" in log.read_text()
                yield checkout
            finally:
                interrupt(server, signal.SIGINT)
                server.wait(60)
        assert checkout.run("! curl --silent http://127.0.0.1:7071/healthz", 10)[0] == 0, "Ctrl-C ends it"
    finally:
        network.close()


def test_the_first_command_of_the_readme_is_the_one_that_serves() -> None:
    assert SERVER.text.split() == ["make", "run"]


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)])
def test_the_commands_of_a_page_run_as_they_are_written(page: str, checkout: Checkout) -> None:
    steps = [f'echo "{_MARK} {block.line}"\n{block.text}' for block in runnable(page)]
    code, said = checkout.run("set -eo pipefail\n" + "\n".join(steps), _PAGE_S)
    assert code == 0, f"{page}, {said[said.rfind(_MARK) :]}"


def test_only_what_names_its_reason_is_left_out_and_no_other() -> None:
    assert {(block.page, block.reason) for block in ALL if block.reason} == NOT_RUN
    assert {block.needs for block in ALL if block.needs} == {"promtool"}
