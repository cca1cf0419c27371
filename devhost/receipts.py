"""Which blob versions were handled: kept in a file, so that a restart handles none of them again."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

# function, container, name, etag
Key = tuple[str, str, str, str]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS receipt (
    function TEXT, container TEXT, name TEXT, etag TEXT,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, due REAL NOT NULL,
    PRIMARY KEY (function, container, name, etag))
"""
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0


class Receipts:
    """A row for each version that was tried; all are kept in memory, because each poll reads them."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(_SCHEMA)
        self._known: dict[Key, tuple[str, int, float]] = {
            (row[0], row[1], row[2], row[3]): (row[4], row[5], row[6])
            for row in self._database.execute("SELECT * FROM receipt")
        }

    def is_due(self, key: Key) -> bool:
        """True if this version was never tried, or failed and its next try is due."""
        with self._lock:
            state, _, due = self._known.get(key, ("new", 0, 0.0))
        return state == "new" or (state == "failed" and due <= time.time())

    def done(self, key: Key) -> None:
        """Record that it was handled."""
        self._write(key, "done", 0, 0.0)

    def failed(self, key: Key, poison_after: int) -> int:
        """Record a failure. Returns the number of failures; at ``poison_after`` it is never tried again."""
        with self._lock:
            attempts = self._known.get(key, ("new", 0, 0.0))[1] + 1
        wait = min(_FIRST_WAIT_S * 2 ** (attempts - 1), _LONGEST_WAIT_S)
        state = "poison" if attempts >= poison_after else "failed"
        self._write(key, state, attempts, time.time() + wait)
        return attempts

    def _write(self, key: Key, state: str, attempts: int, due: float) -> None:
        with self._lock:
            self._database.execute(
                "INSERT OR REPLACE INTO receipt VALUES (?, ?, ?, ?, ?, ?, ?)", (*key, state, attempts, due)
            )
            self._known[key] = (state, attempts, due)
