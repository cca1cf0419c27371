"""Every link of every Markdown file leads somewhere: a file, a heading, or https."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from functools import cache
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.docs.tree import ROOT, files, markdown

_PARSER = MarkdownIt("commonmark").enable("table")


@pytest.mark.parametrize("page", markdown())
def test_every_link_leads_somewhere(page: str) -> None:
    assert [link for link in links(page) if not leads_somewhere(page, link)] == []


def test_a_link_to_nowhere_is_noticed() -> None:
    assert not leads_somewhere("README.md", "docs/nothing.md")
    assert not leads_somewhere("README.md", "docs/use.md#nothing")
    assert not leads_somewhere("docs/use.md", "README.md")
    assert not leads_somewhere("README.md", "docs/images/nothing.webp")
    assert not leads_somewhere("README.md", "docs/nothing/")
    assert leads_somewhere("docs/use.md", "../README.md#try-it")


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[str] = set()
    waiting = {"README.md"}
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting |= {
            target for link in links(page) if (target := _target(page, link)[0]).endswith(".md")
        } - reached
    assert {page for page in markdown() if page.startswith("docs/")} - reached == set()


def links(page: str) -> list[str]:
    """Targets of links and pictures, as they stand in the page."""
    tokens: list[Token] = []
    for block in _PARSER.parse((ROOT / page).read_text()):
        tokens += [block, *(block.children or [])]
    found = [str(token.attrs[name]) for token in tokens for name in ("href", "src") if name in token.attrs]
    return [link for link in found if not link.startswith(("https://", "http://127.0.0.1", "mailto:"))]


def leads_somewhere(page: str, link: str) -> bool:
    """The link's file is part of the project, and its heading is in that file."""
    target, anchor = _target(page, link)
    is_folder = any(path.startswith(target.rstrip("/") + "/") for path in files())
    if target not in files() and not is_folder:
        return False
    return not anchor or anchor in _anchors(target)


def _target(page: str, link: str) -> tuple[str, str]:
    parts = urlsplit(link)
    path = (
        posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
        if parts.path
        else page
    )
    return path, parts.fragment


@cache
def _anchors(page: str) -> frozenset[str]:
    """The ids that GitHub gives to the headings."""
    tokens = _PARSER.parse((ROOT / page).read_text())
    texts = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    seen: Counter[str] = Counter()
    anchors = set()
    for text in texts:
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        anchors.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return frozenset(anchors)
