"""``make drill NAME=load``: 200 jobs at once while a fifth of the paid calls fail.

Without ``--kills`` it takes the stack that runs in this folder (``make run``), or starts a fresh one with
Azurite and PostgreSQL. With ``--kills N`` it starts a fresh one and kills each of its processes N
times (kill -9) while the jobs come in; ``NAME=chaos`` is that with 20 kills. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from drills.load.audit import (
    billed_pictures,
    differences,
    paid_pictures,
    problems,
    resolve_unknown,
    wait_for_the_last_bill,
)
from drills.load.chaos import Killer
from drills.load.jobs import Log, ends, send, wait_for_all
from drills.load.target import Target, fresh, running
from local.nano_banana_faults import KINDS, STANDING

_FAULTS = ["503", "429", "timeout_after_billing"]
_SENDERS = 16


def main(arguments: list[str]) -> int:
    """Returns 0 when every promise was kept, else 1, with what was broken on stderr."""
    chosen = _parser().parse_args(arguments)
    with _target(fresh_one=chosen.fresh or chosen.kills > 0) as target:
        target.simulator.delete("/_simulator/bill")
        ledger_before, paid_before = _ledger_usd(target), paid_pictures(target)
        kinds = sorted(set(KINDS) - STANDING) if chosen.all_faults else _FAULTS
        faults = {"rate": chosen.fail_rate, "kinds": kinds, "seed": chosen.seed, "retry_delay_s": 1.0}
        target.simulator.post("/_simulator/faults", json=faults).raise_for_status()
        started = time.monotonic()
        log, killed = Log(), Counter[str]()
        with ExitStack() as stack:
            if chosen.kills:
                killer = stack.enter_context(Killer(target, chosen.kills))
                killed = killer.killed
            _send_all(target, chosen, log)
            if chosen.kills:
                killer.done.wait(chosen.limit_s)
        statuses = wait_for_all(target.api, log, chosen.limit_s)
        wall_s = time.monotonic() - started
        target.simulator.delete("/_simulator/faults")
        _wait_until_nothing_is_open(target, chosen.limit_s)
        wait_for_the_last_bill(target)
        resolved = resolve_unknown(target)
        found = problems(target, statuses)
        bill_usd, ledger_usd = target.bill()["usd"], _ledger_usd(target) - ledger_before
        if abs(bill_usd - ledger_usd) > 1e-6:
            found.append(f"the ledger says ${ledger_usd:.4f}, the bill ${bill_usd:.4f}")
        found += differences(billed_pictures(target), paid_pictures(target), paid_before)
        lost = [sent.job_id for sent in log.sent if sent.job_id not in statuses]
        found += [f"{job_id} was taken and is lost" for job_id in lost]
        for line in found:
            sys.stderr.write(line + "\n")
        _say(ends=ends(statuses), refused=log.refused, client_retries=log.retries, lost_answers=resolved)
        _say(billed_usd=billed_pictures(target), ledger_usd=paid_pictures(target))
        terminal = sum(each["finished_at"] is not None for each in statuses.values())
        _say(
            jobs=len(log.sent),
            terminal=terminal,
            ledger_usd=round(ledger_usd, 4),
            bill_usd=round(bill_usd, 4),
            wall_s=round(wall_s, 1),
            **({"kills": killed} if chosen.kills else {}),
            violations=len(found),
        )
        return 1 if found or terminal < len(log.sent) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m drills load", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="jobs to send (%(default)s)")
    parser.add_argument(
        "--fail-rate", type=float, default=0.2, help="share of the paid calls that fail (%(default)s)"
    )
    parser.add_argument(
        "--all-faults", action="store_true", help="of every kind that the simulator knows, not of three"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the faults")
    parser.add_argument(
        "--kills", type=int, default=0, help="times that each process is killed (%(default)s)"
    )
    parser.add_argument(
        "--pause-s", type=float, default=0.0, help="pause of each sender between two jobs (%(default)s)"
    )
    parser.add_argument("--fresh", action="store_true", help="start a stack even if one is running")
    parser.add_argument(
        "--limit-s", type=float, default=1200.0, help="time in which all jobs must end (%(default)s)"
    )
    return parser


@contextmanager
def _target(*, fresh_one: bool) -> Iterator[Target]:
    with running() as found:
        if found is not None and not fresh_one:
            yield found
            return
    with tempfile.TemporaryDirectory() as folder, fresh(Path(folder)) as made:
        yield made


def _send_all(target: Target, chosen: argparse.Namespace, log: Log) -> None:
    lock, numbers = threading.Lock(), iter(range(chosen.jobs))

    def sender() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            send(target.api, number, log)
            time.sleep(chosen.pause_s)

    with ThreadPoolExecutor(_SENDERS) as pool:
        for running_sender in [pool.submit(sender) for _ in range(_SENDERS)]:
            running_sender.result()


def _ledger_usd(target: Target) -> float:
    outcomes = target.api.get("/api/v1/spend").json()["outcomes"]
    return float(sum(each["usd"] for each in outcomes if each["state"] == "settled"))


def _wait_until_nothing_is_open(target: Target, limit_s: float) -> None:
    """Calls whose process died become unknown when no answer can come any more."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        states = {each["state"] for each in target.api.get("/api/v1/spend").json()["outcomes"]}
        if not states & {"reserved", "sent"}:
            return
        time.sleep(0.5)


def _say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
