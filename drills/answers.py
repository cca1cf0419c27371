"""``make drill NAME=answers``: each answer that the simulator knows, and what becomes of a job that gets it.

One job after the other through a whole fresh stack with Azurite and PostgreSQL. A row says how the job
ended, how often the model was called, what the bill and what the ledger say; where the outcome of a call is
unknown it is settled by the bill at the end, as an operator would. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drills.load.audit import resolve_unknown
from drills.load.jobs import photo
from drills.load.target import Target, fresh
from imagery.contracts import TERMINAL_STATES, JobState
from local.nano_banana_faults import KINDS

_LOOK_EVERY_S = 0.3
_LIMIT_S = 120.0
_CIRCUIT = "/api/v1/circuit-breakers/nano_banana"
_CENT = 1e-6
# circuits and lost calls that keep nobody waiting for long
_QUICK = {"CIRCUIT": "failures=10 open_s=2 cap_s=2 read_s=0.2", "NANO_BANANA_RETRY": "timeout_s=6 attempts=8"}
_HEAD = ("answer", "job", "calls", "bill", "ledger", "waits")


@dataclass
class Row:
    """What became of the job that got one kind of answer; money in USD.

    ``ledger``: the state of the job's entries when it ended, before an operator looked at the bill.
    """

    answer: str
    job: str
    calls: int
    bill_usd: float
    ledger: str
    ledger_usd: float
    waited_for: list[str]

    def line(self) -> str:
        """The row as text."""
        money = (f"${self.bill_usd:.4g}", f"{self.ledger} ${self.ledger_usd:.4g}")
        return _columns(self.answer, self.job, str(self.calls), *money, ", ".join(self.waited_for))


def main(arguments: list[str]) -> int:
    """Returns 0 when ledger and bill agree about each job, and each has ended."""
    parser = argparse.ArgumentParser(prog="python -m drills answers", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="these answers only")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, fresh(Path(folder), _QUICK) as target:
        sys.stdout.write(_columns(*_HEAD) + "\n")
        rows, found = [], list[str]()
        for kind in ("a picture", *chosen.kinds):
            row, problems = _try(target, kind)
            rows.append(row)
            found += problems
            sys.stdout.write(row.line() + "\n")
            sys.stdout.flush()
    for problem in found:
        sys.stderr.write(problem + "\n")
    sys.stdout.write(json.dumps({"rows": [asdict(row) for row in rows], "violations": len(found)}) + "\n")
    return 1 if found else 0


def _try(target: Target, kind: str) -> tuple[Row, list[str]]:
    """One job whose first call gets this answer. Returns its row, and what is not as promised."""
    target.api.post(_CIRCUIT, json={"state": "closed"}).raise_for_status()
    if kind in KINDS:
        order = {"next": [kind], "retry_delay_s": 1.0}
        target.simulator.post("/_simulator/faults", json=order).raise_for_status()
    # the same photo with a scene of its own: the GPU stages are reused, the paid one is not
    sent = target.api.post(
        "/api/v1/process",
        files={"file": ("cup.jpg", photo(1), "image/jpeg")},
        data={"prompt": f"On a table of oak, {kind.replace('_', ' ')}, {uuid.uuid4().hex[:6]}."},
    )
    sent.raise_for_status()
    job_id = sent.json()["job_id"]
    status, waited_for = _end_of(target, job_id)
    target.simulator.delete("/_simulator/faults")
    entry = _entry(target, job_id)
    resolve_unknown(target)
    billed = target.bill()["by_job"].get(job_id, {"calls": 0, "usd": 0.0})
    cost_usd = target.api.get(f"/api/v1/status/{job_id}").json()["cost_usd"]
    error = status["error"]
    end = status["state"] if error is None else f"{status['state']} {error['code']}"
    row = Row(kind, end, billed["calls"], billed["usd"], entry[0], entry[1], waited_for)
    problems = []
    if JobState(status["state"]) not in TERMINAL_STATES:
        problems.append(f"{kind}: the job stands in {status['state']}")
    if abs(cost_usd - billed["usd"]) > _CENT:
        problems.append(f"{kind}: the job says ${cost_usd}, the bill ${billed['usd']}")
    if billed.get("billed", 0) > 1:
        problems.append(f"{kind}: billed {billed['billed']} times")
    return row, problems


def _end_of(target: Target, job_id: str) -> tuple[dict[str, Any], list[str]]:
    """The job's status when it has ended, or after two minutes, and the codes that it waited for."""
    until, codes = time.monotonic() + _LIMIT_S, list[str]()
    while True:
        status: dict[str, Any] = target.api.get(f"/api/v1/status/{job_id}").json()
        if JobState(status["state"]) in TERMINAL_STATES or time.monotonic() > until:
            return status, codes
        for stage in status["stages"]:
            code = (stage.get("error") or {}).get("code")
            if stage["stage"] == "nano_banana" and stage["state"] == "WAITING" and code and code not in codes:
                codes.append(code)
                if code.startswith("nano_banana_"):
                    # what an operator does once the key is mended, or the quota raised
                    target.api.post(_CIRCUIT, json={"state": "closed"}).raise_for_status()
        time.sleep(_LOOK_EVERY_S)


def _entry(target: Target, job_id: str) -> tuple[str, float]:
    """The state and price of the ledger's entry of a job, as its log has it; ("-", 0) where it has none."""
    lines = target.api.get(
        "/api/v1/logs", params={"job_id": job_id}, headers={"Accept": "application/x-ndjson"}
    ).text.splitlines()
    spend = [each for each in map(json.loads, lines) if each["event"].startswith("spend_")]
    if not spend:
        return "-", 0.0
    state = spend[-1]["event"].removeprefix("spend_")
    return state, float(spend[-1]["price_usd"]) if state in {"settled", "unknown"} else 0.0


def _columns(*texts: str) -> str:
    return "".join(
        text.ljust(width) for text, width in zip(texts, (24, 46, 7, 9, 19, 0), strict=True)
    ).rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
