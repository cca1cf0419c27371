"""What goes to the terminal: words for people, or one JSON object a line for scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagery.text import plain
from imagery_client.errors import CliError

MOST_CHARS = 2000


class Output:
    """stdout carries results alone; what happens meanwhile goes to stderr."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self.console = Console(highlight=False)
        self.notes = Console(stderr=True, highlight=False)

    @property
    def is_live(self) -> bool:
        """True where lines can be drawn anew."""
        return self.console.is_terminal and not self.is_json and os.isatty(sys.stdout.fileno())

    def json(self, value: Any) -> None:
        """One line."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def say(self, text: str, style: str = "") -> None:
        """A line of the result, for people."""
        if not self.is_json:
            self.console.print(Text(plain(text, MOST_CHARS), style=style), soft_wrap=True)

    def note(self, text: str, style: str = "dim") -> None:
        """A line about what happens."""
        self.notes.print(Text(plain(text, MOST_CHARS), style=style), soft_wrap=True)

    def complain(self, error: CliError) -> None:
        """An error: title, detail, way out; never a traceback."""
        if self.is_json:
            sys.stderr.write(json.dumps(error.to_json(), ensure_ascii=False) + "\n")
            return
        self.note(f"{error.title}: {error.detail}", "bold red")
        if error.way_out:
            self.note(f"  {error.way_out}", "yellow")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """On a screen cut to its width; elsewhere whole, with aligned columns."""
        clean = [[plain(cell, MOST_CHARS) for cell in row] for row in rows]
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


def money(usd: float) -> str:
    """``$0.08``; nothing for nothing."""
    return f"${usd:.2f}" if usd else ""
