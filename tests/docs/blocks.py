"""The command blocks of a page: fenced ``sh``, and the comment that says why one can't run here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt

from tests.docs.tree import ROOT

_REASON = re.compile(r"<!-- not run here: (.+) -->")
_NEEDS = re.compile(r"<!-- needs (\S+) -->")


@dataclass(frozen=True)
class Block:
    """Commands as they stand in a page.

    ``reason``: why they are not run, None when they are. ``needs``: a program that may be missing.
    """

    page: str
    line: int
    text: str
    reason: str | None
    needs: str | None


def blocks(page: str, language: str = "sh") -> list[Block]:
    """The blocks of a page in the order in which they stand."""
    found: list[Block] = []
    reason = needs = None
    for token in MarkdownIt("commonmark").parse((ROOT / page).read_text()):
        if token.type == "html_block":
            marked = _REASON.fullmatch(token.content.strip())
            reason = marked[1] if marked else None
            marked = _NEEDS.fullmatch(token.content.strip())
            needs = marked[1] if marked else None
        elif token.type == "fence":
            if token.info.strip() == language and token.map:
                found.append(Block(page, token.map[0] + 2, token.content, reason, needs))
            reason = needs = None
    return found
