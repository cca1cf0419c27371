"""What pictures took goes back to the machine; in a process of its own, because limits of the heap stay."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.stack import ROOT

_SCRIPT = """
import json, sys, threading
import numpy as np
from pathlib import Path
from gpu_container import process_memory

def resident_mb():
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

def burst():
    kept = [bytes(range(256)) * 4 for _ in range(20_000)]
    large = [np.ones((n, 1000, 1000), np.uint8) for n in (2, 8, 20, 31)]
    together.wait()
    del large, kept

before, bounded = resident_mb(), sys.argv[1] == "bounded" and process_memory.bound()
threads = 16
together = threading.Barrier(threads)
for _ in range(2):
    working = [threading.Thread(target=burst) for _ in range(threads)]
    for each in working:
        each.start()
    for each in working:
        each.join()
if bounded:
    process_memory.give_back()
print(json.dumps([bounded, resident_mb() - before]))
"""


def left_mb(how: str) -> tuple[bool, float]:
    """What 16 threads leave behind that had 61 MB each."""
    command = [sys.executable, "-c", _SCRIPT, how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    bounded, left = json.loads(done.stdout)
    return bool(bounded), float(left)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc")
def test_a_burst_leaves_little_behind() -> None:
    bounded, left = left_mb("bounded")
    if not bounded:
        pytest.skip("this C library knows no such limits")
    assert left < 60
