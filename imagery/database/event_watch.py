"""One look for new log events an interval and process, however many clients wait for them."""

from __future__ import annotations

import threading
import time

from imagery.database.engine import Database
from imagery.database.events import newest_event

# while anybody waits for events, a process looks this often
LOOK_EVERY_S = 0.3


class EventWatch:
    """The greatest event id, looked up when somebody asks and the last look is ``every_s`` old.

    Safe to share between threads and event loops.
    """

    def __init__(self, database: Database, every_s: float) -> None:
        self.every_s = every_s
        self.looks = 0
        self._database = database
        self._looking = threading.Lock()
        self._newest = 0
        self._looked_at = float("-inf")

    @property
    def is_due(self) -> bool:
        """True when ``look`` would ask the database."""
        return time.monotonic() - self._looked_at >= self.every_s

    @property
    def newest(self) -> int:
        """The greatest id of the last look."""
        return self._newest

    def look(self) -> int:
        """The greatest id; that of the last look while another thread is looking."""
        if self.is_due and self._looking.acquire(blocking=False):
            try:
                self.looks += 1
                self._newest = newest_event(self._database)
                self._looked_at = time.monotonic()
            finally:
                self._looking.release()
        return self._newest
