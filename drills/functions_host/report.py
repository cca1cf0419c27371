"""What the drill saw, and what of it is not as it has to be."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from drills.functions_host.world import Site
from drills.load.audit import problems, resolve_unknown, wait_for_the_last_bill
from imagery.contracts import TERMINAL_STATES, JobState

_OPEN_LIMIT_S = 120.0
_QUIET_S = 4.0
_CENT = 1e-6


@dataclass
class Report:
    """``seen``: what each scenario measured, by its name."""

    seen: dict[str, Any] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    kills: int = 0
    _begun: float = field(default_factory=time.monotonic)

    def tell(self, scenario: str, **values: Any) -> None:
        """Keep and print what a scenario saw."""
        self.seen.setdefault(scenario, {}).update(values)
        words = " ".join(f"{name}={value}" for name, value in values.items())
        self._say(f"{scenario}: {words}")

    def expect(self, holds: bool, violation: str) -> None:
        """Count ``violation`` unless it holds."""
        if not holds:
            self.violations.append(violation)
            self._say(f"VIOLATION {violation}")

    def _say(self, line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self._begun:6.1f} s  {line}\n")
        sys.stderr.flush()

    def close(self, site: Site, limit_s: float) -> dict[str, Any]:
        """Wait for every job, hold the ledger against the bill, and sum up."""
        statuses = site.wait_for_end(site.jobs, limit_s)
        site.stack.bill_client.delete("/_simulator/faults")
        _wait_until_nothing_is_open(site)
        wait_for_the_last_bill(site.target, _QUIET_S)
        resolved = resolve_unknown(site.target)
        lost = [job_id for job_id in site.jobs if job_id not in statuses]
        stuck = [each for each in statuses.values() if JobState(each["state"]) not in TERMINAL_STATES]
        bill = site.target.bill()
        twice = [job_id for job_id, each in bill["by_job"].items() if each["billed"] > 1]
        ledger_usd = _ledger_usd(site)
        self.expect(not lost, f"lost: {lost}")
        for problem in problems(site.target, statuses):
            self.expect(False, problem)
        self.expect(
            abs(ledger_usd - bill["usd"]) < _CENT,
            f"the ledger says ${ledger_usd:.2f}, the bill ${bill['usd']:.2f}",
        )
        self.tell("ends", **Counter(_end(each) for each in statuses.values()), lost_answers=resolved)
        return {
            "functions": site.functions(),
            "jobs": len(site.jobs),
            "completed": sum(each["state"] == JobState.COMPLETED for each in statuses.values()),
            "kills": self.kills,
            "paid_twice": len(twice),
            "lost": len(lost),
            "stuck": len(stuck),
            "ledger_usd": round(ledger_usd, 2),
            "bill_usd": round(bill["usd"], 2),
        }


def _end(status: dict[str, Any]) -> str:
    return str(status["state"] if status["error"] is None else f"{status['state']}_{status['error']['code']}")


def _outcomes(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.stack.client.get("/api/v1/spend").json()["outcomes"]
    return found


def _ledger_usd(site: Site) -> float:
    return float(sum(each["usd"] for each in _outcomes(site) if each["state"] == "settled"))


def _wait_until_nothing_is_open(site: Site) -> None:
    """Calls whose process died become unknown when no answer can come any more."""
    until = time.monotonic() + _OPEN_LIMIT_S
    while time.monotonic() < until:
        if not {each["state"] for each in _outcomes(site)} & {"reserved", "sent"}:
            return
        time.sleep(0.5)
