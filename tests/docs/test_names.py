"""What the pages name exists: make targets, drills, routes, metrics, and files in code spans."""

from __future__ import annotations

import re
from functools import cache
from pathlib import PurePosixPath

import pytest
from markdown_it import MarkdownIt

from api.app import create_app
from drills.__main__ import DRILLS
from tests.docs.tree import ROOT, files, markdown

_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
_METRIC = r"\b[a-z][a-z_]*_(?:total|seconds|gauge|open|state)\b"
# events and fields that only look like metrics
_NO_METRIC = {"circuit_open", "minutes_open"}


@cache
def code(page: str) -> tuple[str, ...]:
    """Every code span and code block of a page."""
    found: list[str] = []
    for token in MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text()):
        spans = [child.content for child in token.children or [] if child.type == "code_inline"]
        found += [*spans, token.content] if token.type == "fence" else spans
    return tuple(found)


@cache
def routes() -> frozenset[tuple[str, str]]:
    """Method and path of every route that OpenAPI describes; parameters without their names."""
    paths = create_app().openapi()["paths"]
    return frozenset((method.upper(), nameless(path)) for path, item in paths.items() for method in item)


def nameless(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def named_routes(page: str) -> set[tuple[str, str]]:
    pattern = r"\b(GET|POST|PUT|PATCH|DELETE) (/(?:api/v1|healthz)[^\s?`'\"]*)"
    # JOB stands for an id in commands
    return {
        (method, nameless(path.replace("JOB", "{}")).replace("/nano_banana", "/{}"))
        for text in code(page)
        for method, path in re.findall(pattern, text.replace("\n", " "))
    }


@pytest.mark.parametrize("page", markdown())
def test_every_make_target_and_drill_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.M))
    named = {name for text in code(page) for name in re.findall(r"\bmake ([a-z][a-z0-9-]*)", text)}
    assert named <= targets
    drills = {name for text in code(page) for name in re.findall(r"\bmake drill NAME=([\w-]+)", text)}
    assert drills <= set(DRILLS)


@pytest.mark.parametrize("page", markdown())
def test_every_route_exists(page: str) -> None:
    assert named_routes(page) <= routes()


def test_the_page_of_the_api_has_every_route() -> None:
    assert routes() - named_routes("docs/http-api.md") == set()


@pytest.mark.parametrize("page", markdown())
def test_every_metric_exists(page: str) -> None:
    rooms = ("imagery/reporting/", "gpu_container/")
    source = "".join(
        (ROOT / path).read_text() for path in files() if path.startswith(rooms) and path.endswith(".py")
    )
    named = {name for text in code(page) for name in re.findall(_METRIC, text)}
    assert {name for name in named if name.removesuffix("_total") not in source} <= _NO_METRIC


@pytest.mark.parametrize("page", markdown())
def test_every_file_exists(page: str) -> None:
    """A code span that is a path with a folder of the project in front."""
    folders = {path.split("/")[0] for path in files() if "/" in path}
    named = {text for text in code(page) if re.fullmatch(r"[\w.-]+(?:/[\w.-]+)+/?", text)}
    wanted = {path.rstrip("/") for path in named if path.split("/")[0] in folders}
    known = {part for path in files() for part in (path, *map(str, PurePosixPath(path).parents))}
    built = {path for path in wanted if path.endswith("node_modules")}
    assert wanted - known - built == set()
