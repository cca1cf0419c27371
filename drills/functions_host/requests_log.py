"""What Azurite was asked for: the lines that it writes about each request."""

from __future__ import annotations

import re
import time
from pathlib import Path

_REQUEST = re.compile(rb'^[\d.:a-f]+ - - \[[^]]*\] "(\w+) (\S+) HTTP/1.1" (\d+)', re.MULTILINE)
_LOOK_EVERY_S = 0.005


class RequestsLog:
    """The log of one Azurite."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def count(self) -> int:
        """Storage transactions so far, of everybody: blobs, queues and tables."""
        return len(_REQUEST.findall(self._path.read_bytes()))

    def end(self) -> int:
        """Where the log ends now, in bytes."""
        return self._path.stat().st_size

    def has_written(self, blob: str, since: int) -> bool:
        """True once ``container/name`` was stored after the position ``since``."""
        with self._path.open("rb") as log:
            log.seek(since)
            lines = _REQUEST.findall(log.read())
        return any(
            method == b"PUT" and status == b"201" and path.split(b"?")[0].endswith(f"/{blob}".encode())
            for method, path, status in lines
        )

    def wait_for_blob(self, blob: str, since: int, limit_s: float) -> bool:
        """Wait until it is stored; False when the time is over."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if self.has_written(blob, since):
                return True
            time.sleep(_LOOK_EVERY_S)
        return False
