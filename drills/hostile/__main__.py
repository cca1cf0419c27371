"""``make drill NAME=hostile``: every hostile or odd input against a running host, with its verdict, memory and time."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from drills.hostile.inputs import ADMITTED, EITHER, REJECTED, Input, inputs
from imagery.settings import Settings
from testbed.stack import PHOTO, Stack

_SAMPLE_S = 0.003
_MB = 1e6
_MARGIN_S = 5.0


@dataclass
class Memory:
    """Resident memory of the host and all its children, sampled."""

    host: psutil.Process
    peak: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def now(self) -> float:
        """MB now. Memory that processes share counts for each of them."""
        total = 0
        for process in (self.host, *self.host.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        return total / _MB

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Set ``peak`` to the most that was there inside of the block."""
        self.peak = self.now()
        self._stop.clear()
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._stop.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            self.peak = max(self.peak, self.now())


@dataclass(frozen=True)
class Row:
    """One input's outcome."""

    name: str
    verdict: str
    code: str
    peak_mb: float
    seconds: float
    right: bool


def is_right(each: Input, verdict: str, code: str) -> bool:
    """True when the outcome is one that was expected."""
    if verdict not in {ADMITTED, REJECTED}:
        return False
    return code in each.expected or verdict in each.expected or EITHER in each.expected


def ask(client: httpx.Client, each: Input, data: bytes) -> tuple[str, str]:
    """Verdict and code of one input."""
    files = {"file": (each.filename, data, each.declared)}
    fields = {} if each.prompt is None else {"prompt": each.prompt}
    answer = client.post("/api/v1/guardrail/validate", files=files, data=fields)
    told: dict[str, Any] = answer.json()
    if answer.status_code == 200:
        return (ADMITTED, "") if told["admitted"] else (REJECTED, str(told["code"]))
    return (REJECTED if answer.status_code < 500 else "error"), str(told.get("code"))


def examine(client: httpx.Client, memory: Memory, each: Input, idle_mb: float) -> Row:
    """Send one input and measure."""
    data = each.make()
    with memory.watched():
        started = time.monotonic()
        verdict, code = ask(client, each, data)
        seconds = time.monotonic() - started
    longest = Settings().guardrail.sandbox.timeout_s + _MARGIN_S
    right = is_right(each, verdict, code) and seconds < longest
    return Row(each.name, verdict, code, memory.peak - idle_mb, seconds, right)


def show(rows: list[Row]) -> None:
    """The table: one line an input, cut files of one format together."""
    print(f"{'input':52}{'verdict':10}{'code':32}{'peak MB':>8}{'s':>7}")
    for row in grouped(rows):
        mark = "" if row.right else "  WRONG"
        print(f"{row.name:52}{row.verdict:10}{row.code:32}{row.peak_mb:8.0f}{row.seconds:7.2f}{mark}")


def grouped(rows: list[Row]) -> Iterator[Row]:
    """The rows with each format's cuts as one, unless one of them is wrong."""
    cuts: dict[str, list[Row]] = {}
    for row in rows:
        name, _, _ = row.name.partition(" at ")
        if row.name.startswith("truncated") and row.right:
            cuts.setdefault(name, []).append(row)
        else:
            yield row
    for name, group in cuts.items():
        codes = ", ".join(sorted({row.code for row in group}))
        peak, slowest = max(row.peak_mb for row in group), max(row.seconds for row in group)
        yield Row(f"{name} at each of {len(group)} %", REJECTED, codes[:31], peak, slowest, True)


def summary(rows: list[Row]) -> dict[str, Any]:
    """What the last line says."""
    return {
        "inputs": len(rows),
        "wrong": sum(not row.right for row in rows),
        "peak_mb_over_idle": round(max(row.peak_mb for row in rows), 1),
        "slowest_s": round(max(row.seconds for row in rows), 2),
    }


def main(arguments: list[str]) -> int:
    """Start a host with its default limits, send everything, stop it. Returns 1 if a verdict is wrong."""
    parser = argparse.ArgumentParser(prog="python -m drills hostile", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every Nth input (%(default)s)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {"ENV": "DEV", "AzureWebJobsStorage": "", "LOCAL_STORAGE_PATH": str(folder / "store")}
        stack = Stack(folder, environment)
        try:
            stack.start_host()
            process = stack.host.process
            assert process is not None
            memory = Memory(psutil.Process(process.pid))
            cold_mb = memory.now()
            photo = PHOTO.read_bytes()
            for _ in range(3):
                ask(stack.client, Input("photo", bytes, ()), photo)
            idle_mb = memory.now()
            print(
                f"host: {cold_mb:.0f} MB before its first picture, {idle_mb:.0f} MB idle after it (one worker)"
            )
            rows = [examine(stack.client, memory, each, idle_mb) for each in list(inputs())[:: asked.every]]
            show(rows)
            print(
                f"afterwards: {memory.now():.0f} MB; the photo is {ask(stack.client, Input('photo', bytes, ()), photo)[0]}"
            )
        finally:
            stack.stop()
    told = summary(rows)
    print(json.dumps(told))
    return 1 if told["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
