"""Looks for new log events once in an interval and process, however many clients wait for them."""

from __future__ import annotations

import threading
import time

from imagery.database.engine import Database
from imagery.database.events import newest_event

# while anybody waits for events, a process looks this often
LOOK_EVERY_S = 0.3


class EventWatch:
    """The greatest event id, read again when it is asked for and the last reading is ``every_s`` old.

    Safe to share between threads and event loops.
    """

    def __init__(self, database: Database, every_s: float) -> None:
        self.every_s = every_s
        self._database = database
        self._looking = threading.Lock()
        self._newest = 0
        self._looked_at = float("-inf")

    @property
    def is_due(self) -> bool:
        """True if ``look`` would query the database."""
        return time.monotonic() - self._looked_at >= self.every_s

    @property
    def newest(self) -> int:
        """The greatest id at the last reading."""
        return self._newest

    def look(self) -> int:
        """The greatest id; the last known one while another thread reads it."""
        if self.is_due and self._looking.acquire(blocking=False):
            try:
                self._newest = newest_event(self._database)
                self._looked_at = time.monotonic()
            finally:
                self._looking.release()
        return self._newest
