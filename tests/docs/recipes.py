"""Follows a recipe of CONTRIBUTING.md: writes its files, makes its changes, runs its commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.docs.tree import ROOT

PAGE = "CONTRIBUTING.md"
_REASON = re.compile(r"<!-- not run here: (.+) -->")
_NAMED = re.compile(r"# (\S+\.py)\n")
RunCommand = Callable[[str], None]


class RecipeError(AssertionError):
    """A step can't be followed."""


@dataclass(frozen=True)
class Step:
    """One block of a recipe. ``reason``: why it is not followed here, None when it is."""

    language: str
    text: str
    reason: str | None = None


def recipes() -> dict[str, list[Step]]:
    """The steps of each recipe, by its heading."""
    found: dict[str, list[Step]] = {}
    steps: list[Step] = []
    reason: str | None = None
    tokens = MarkdownIt("commonmark").parse((ROOT / PAGE).read_text())
    for at, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            steps = found[tokens[at + 1].content] = []
        elif token.type == "html_block":
            marked = _REASON.fullmatch(token.content.strip())
            reason = marked[1] if marked else None
        elif token.type == "fence":
            steps.append(Step(token.info.strip(), token.content, reason))
            reason = None
    return {name: steps for name, steps in found.items() if steps}


def follow(steps: list[Step], folder: Path, run: RunCommand) -> None:
    """Follow the steps in a copy of the tree. Raises ``RecipeError`` if the tree is not as they say."""
    for step in steps:
        if step.reason is not None:
            continue
        if step.language == "sh":
            run(step.text)
        elif step.language == "diff":
            change(step.text, folder)
        elif step.language == "python":
            write(step.text, folder)
        else:
            raise RecipeError(f"nobody knows what to do with a block of {step.language}")


def write(text: str, folder: Path) -> None:
    """Write a new file; its first line names it."""
    named = _NAMED.match(text)
    if named is None:
        raise RecipeError("the first line of a new file is a comment with its path")
    path = folder / named[1]
    if path.exists():
        raise RecipeError(f"{named[1]} exists")
    path.write_text(text[named.end() :])


def change(diff: str, folder: Path) -> None:
    """Apply a diff whose hunks name no line numbers: what it shows must be in the file exactly once."""
    head, *hunks = re.split(r"^@@\n", diff, flags=re.M)
    named = re.fullmatch(r"--- a/(\S+)\n\+\+\+ b/(\S+)\n", head)
    if named is None or named[1] != named[2] or not hunks:
        raise RecipeError(f"this is no change of one file: {head}")
    path = folder / named[1]
    text = path.read_text()
    for hunk in hunks:
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        if text.count(before) != 1:
            raise RecipeError(f"{named[1]} has {text.count(before)} times:\n{before}")
        text = text.replace(before, after)
    path.write_text(text)
