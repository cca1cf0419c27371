"""``python -m drills functions-host --answers``: the edges of the extension, on it and on the local host.

Small orchestrators (``answers_app``) do what apps seldom do: wait twice for one event, return while a task is
open, cancel timers, change their code, exit. ``CASES`` is what the extension 3.19 made of each.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from drills.functions_host.python import CACHE
from drills.functions_host.world import FunctionsHost
from testbed.azurite import start_azurite
from testbed.ports import free_port
from testbed.stack import ROOT

APP = Path(__file__).with_name("answers_app")
_API = "/runtime/webhooks/durabletask"
_LIMIT_S, _READY_LIMIT_S, _STOP_LIMIT_S = 20.0, 60.0, 20.0
_EVENT_AFTER_S = 3.0
_NON_DETERMINISTIC = "Non-Deterministic workflow detected"


@dataclass(frozen=True)
class Case:
    """An orchestrator, and its end: ``output`` is a pattern, ``least_s`` how long it takes at least."""

    name: str
    status: str
    output: str
    given: Any = None
    least_s: float = 0.0
    with_event: bool = False
    rewound: bool = False


CASES = (
    Case("last_wait_first", "Completed", r'\["E1", 4, false\]', with_event=True),
    Case("returns_early", "Completed", "returned", least_s=2.9),
    # queues cut the fraction off a wait of four seconds
    Case("leaves_a_timer", "Completed", "returned", least_s=2.5),
    Case("cancels_its_timer", "Completed", "4"),
    Case("waits_for_a_cancelled_timer", "Completed", "fired", least_s=1.5),
    Case("cancels_beside_a_retry", "Failed", _NON_DETERMINISTIC),
    Case("fails_early", "Failed", "'fails_early' failed: early", least_s=2.9),
    Case("continues_early", "Completed", "second generation", given="1", least_s=2.9),
    Case("asks_for_less", "Failed", _NON_DETERMINISTIC),
    Case("asks_for_another", "Failed", _NON_DETERMINISTIC),
    Case("asks_in_other_case", "Completed", "8"),
    Case("nothing_to_wait_for", "Completed", "no yield"),
    Case("names_its_parent", "Completed", r'\[true, "INSTANCE"\]'),
    Case("calls_http", "Completed", r'(?i)^{"statuscode": 202, .*"retry-after": "1"'),
    Case("told_by_an_entity", "Completed", r'\["not this one", 3\]'),
    Case("rewound", "Completed", "2", rewound=True),
    # the timers of the retries stay in the history, and are no longer asked for
    Case("rewound_after_retries", "Failed", _NON_DETERMINISTIC, rewound=True),
)
# on the extension an exit ends the worker, with whatever else runs there
EXITS = (
    Case("calls_what_exits", "Completed", "^.caught: "),
    Case("exits_itself", "Failed", "'exits_itself' failed: "),
)


@dataclass
class Asked:
    """One case under way."""

    case: Case
    instance_id: str
    begun: float = field(default_factory=time.monotonic)
    is_rewound: bool = False
    difference: str | None = "did not end"


def ask(base_url: str) -> dict[str, Any]:
    """Run every case on the host at ``base_url``. Returns how many, and what was not as in CASES."""
    found: list[str] = []
    with httpx.Client(base_url=base_url, timeout=30, trust_env=False) as client:
        for cases in (CASES, EXITS):
            for each in _ask(client, cases):
                if each.difference is not None:
                    found.append(f"{each.case.name}: {each.difference}")
    return {"answers": len(CASES) + len(EXITS), "differences": found}


def _ask(client: httpx.Client, cases: tuple[Case, ...]) -> list[Asked]:
    every = [_start(client, case) for case in cases]
    waiting = list(every)
    until = time.monotonic() + _LIMIT_S
    event_at = time.monotonic() + _EVENT_AFTER_S
    while waiting and time.monotonic() < until:
        if time.monotonic() > event_at:
            event_at = until
            for each in every:
                if each.case.with_event:
                    client.post(f"{_API}/instances/{each.instance_id}/raiseEvent/go", json="E1")
        waiting = [each for each in waiting if not _has_ended(client, each)]
        time.sleep(0.1)
    return every


def _start(client: httpx.Client, case: Case) -> Asked:
    given = case.given
    if case.name == "calls_http":
        given = f"{client.base_url}/moved?key={uuid.uuid4().hex}"
    asked = Asked(case, uuid.uuid4().hex)
    # as the SDK sends it: the JSON text of an input is a JSON string
    path = f"{_API}/orchestrators/{case.name}/{asked.instance_id}"
    client.post(path, json=json.dumps(given)).raise_for_status()
    return asked


def _has_ended(client: httpx.Client, asked: Asked) -> bool:
    status = client.get(f"{_API}/instances/{asked.instance_id}").json()
    case, output = asked.case, json.dumps(status["output"])
    took_s = time.monotonic() - asked.begun
    if case.rewound and not asked.is_rewound:
        if status["runtimeStatus"] == "Failed":
            client.post(f"{_API}/instances/{asked.instance_id}/rewind").raise_for_status()
            asked.is_rewound = True
        return False
    pattern = case.output.replace("INSTANCE", asked.instance_id)
    if status["runtimeStatus"] != case.status or not re.search(pattern, output):
        asked.difference = f"{status['runtimeStatus']} with {output[:200]}, not {case.status} with {pattern}"
        return False
    is_early = took_s < case.least_s
    asked.difference = f"ended after {took_s:.1f} s, not {case.least_s} s" if is_early else None
    return True


@contextmanager
def serving(host: FunctionsHost | None, folder: Path) -> Iterator[str]:
    """The address of a host that serves ``APP`` from ``folder``: the extension's, or the local one."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "azurite").mkdir(parents=True)
    shutil.copytree(APP, folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
    port, environment = free_port(), {**os.environ, "FUNCTIONS_WORKER_RUNTIME": "python"}
    with ExitStack() as ending:
        if host is None:
            command = [sys.executable, "-m", "devhost", "--port", str(port), "--app-dir", str(folder / "app")]
            command += ["--state-dir", str(folder / "state")]
        else:
            azurite = start_azurite(folder / "azurite")
            ending.callback(azurite.stop)
            environment["AzureWebJobsStorage"] = azurite.connection_string
            environment["DOTNET_BUNDLE_EXTRACT_BASE_DIR"] = str(CACHE / "net")
            command = host.command(folder / "app", port)
        log = ending.enter_context((folder / "host.log").open("wb"))
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        ending.callback(_end, process)
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, folder / "host.log")
        yield url


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _READY_LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/ready", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"the host does not respond:\n{log.read_text()[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(host: FunctionsHost | None) -> int:
    """Returns 0 when all is as in CASES, else 1. The last line is JSON."""
    with serving(host, CACHE / "answers") as url:
        result = ask(url)
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if result["differences"] else 0
