"""TCP ports for servers of tests: none is handed out twice, not even by workers beside each other."""

from __future__ import annotations

import itertools
import os
import random
import threading

from local.ports import is_free

# below those that systems give to outgoing connections, so that nobody gets one by chance
_FIRST, _PER_WORKER, _WORKERS = 20000, 1000, 12
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_begin = random.randrange(_PER_WORKER)
_numbers = (_FIRST + _worker * _PER_WORKER + (_begin + count) % _PER_WORKER for count in itertools.count())
_lock = threading.Lock()


def free_port() -> int:
    """A free TCP port, out of a range of this worker's own."""
    with _lock:
        return next(number for number in _numbers if is_free(number))
