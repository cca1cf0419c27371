"""What goes to the terminal: text for people, or one JSON object a line for scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagery_client.errors import ClientError

_MOST_CHARS = 2000


class Output:
    """Results go to stdout; everything else goes to stderr."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self.console = Console(highlight=False)
        self._notes = Console(stderr=True, highlight=False)

    @property
    def is_live(self) -> bool:
        """True where lines can be redrawn."""
        return self.console.is_terminal and not self.is_json and os.isatty(sys.stdout.fileno())

    def json(self, value: Any) -> None:
        """Print one line of JSON."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def say(self, text: str, style: str = "") -> None:
        """Print a line of the result, for people; nothing where scripts listen."""
        if not self.is_json:
            self.console.print(Text(plain(text), style=style), soft_wrap=True)

    def note(self, text: str, style: str = "dim") -> None:
        """Print a line about what happens meanwhile."""
        self._notes.print(Text(plain(text), style=style), soft_wrap=True)

    def complain(self, error: ClientError) -> None:
        """Print an error: title, detail, way out; never a traceback."""
        if self.is_json:
            sys.stderr.write(json.dumps(error.to_json(), ensure_ascii=False) + "\n")
            return
        self.note(f"{error.title}: {error.detail}", "bold red")
        if error.way_out:
            self.note(f"  {error.way_out}", "yellow")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table: cut to the width of a screen, whole and aligned elsewhere."""
        clean = [[plain(cell) for cell in row] for row in rows]
        if self.is_live:
            table = Table(*headings, box=None, padding=(0, 2, 0, 0), header_style="bold")
            for row in clean:
                table.add_row(*map(Text, row))
            self.console.print(table)
            return
        widths = [max(map(len, column)) for column in zip(headings, *clean, strict=True)]
        for line in [list(headings), *clean]:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            sys.stdout.write("  ".join(cells).rstrip() + "\n")


def plain(text: str) -> str:
    """``text`` without control characters, which could restyle a terminal; at most 2000 characters."""
    return "".join(letter for letter in text[:_MOST_CHARS] if letter.isprintable())


def money(usd: float) -> str:
    """``$0.08``; empty for nothing."""
    return f"${usd:.2f}" if usd else ""
