"""Five places around the paid call at which a process dies: before, during and after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlmodel import select

from drills.functions_host.gateway import UPSCALE
from drills.functions_host.world import Site
from imagery.contracts import Stage, StageState, paid_answer
from imagery.database.tables import StageRun

# enters with the job's id once the job is there, and lets go of what kept it
Place = Callable[[Site], AbstractContextManager[str]]

_LIMIT_S = 60.0
_LOOK_EVERY_S = 0.01


@contextmanager
def gpu_works(site: Site) -> Iterator[str]:
    """The GPU service has the call before the paid one."""
    hold = site.gateway.hold(UPSCALE)
    job_id = site.submit()
    try:
        _wait(lambda: hold.job_id is not None)
        yield job_id
    finally:
        hold.release()


@contextmanager
def paid_call_is_out(site: Site) -> Iterator[str]:
    """The paid service has the request, and no picture yet."""
    job_id = site.submit()
    _wait(lambda: site.stack.bill(job_id)["calls"] == 1)
    yield job_id


@contextmanager
def billed_without_answer(site: Site) -> Iterator[str]:
    """The picture is billed and its answer never comes."""
    site.stack.faults("timeout_after_billing")
    job_id = site.submit()
    _wait(lambda: site.stack.bill(job_id)["billed"] == 1)
    yield job_id


@contextmanager
def picture_is_stored(site: Site) -> Iterator[str]:
    """The paid answer is stored, and the ledger is about to say so."""
    since = site.requests.end()
    job_id = site.submit()
    blob = paid_answer(job_id, Stage.NANO_BANANA, 1).path
    if not site.requests.wait_for_blob(blob, since, _LIMIT_S):
        raise TimeoutError(f"{blob} was not stored")
    yield job_id


@contextmanager
def payment_is_settled(site: Site) -> Iterator[str]:
    """The paid stage has succeeded, and ``finish_job`` comes next."""
    job_id = site.submit()
    _wait(lambda: _stage_state(site, job_id) == StageState.SUCCEEDED)
    yield job_id


PLACES: dict[str, Place] = {
    each.__name__: each
    for each in (gpu_works, paid_call_is_out, billed_without_answer, picture_is_stored, payment_is_settled)
}


def _stage_state(site: Site, job_id: str) -> str | None:
    asked = select(StageRun.state).where(StageRun.job_id == job_id, StageRun.stage == Stage.NANO_BANANA.value)
    with site.database.read() as session:
        return session.exec(asked).first()


def _wait(is_there: Callable[[], bool]) -> None:
    """Raises ``TimeoutError`` after the limit."""
    until = time.monotonic() + _LIMIT_S
    while not is_there():
        if time.monotonic() > until:
            raise TimeoutError("no job was seen at the place")
        time.sleep(_LOOK_EVERY_S)
