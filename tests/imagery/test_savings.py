"""What was not paid: /metrics and GET /spend say the same, whatever became of a job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from imagery.contracts import JobState, Stage
from imagery.database.counters import Metric, read_counts
from imagery.database.engine import Database, make_engine
from imagery.database.jobs import Jobs
from imagery.database.migrate import downgrade, upgrade
from imagery.database.money import to_usd
from imagery.database.savings import avoided
from imagery.database.stage_cache import StageCache
from imagery.database.stages import Stages
from imagery.database.tables import utc_now
from imagery.settings import Settings
from tests.imagery.test_counters import OUTPUT, PRICE_USD, PRICES, STAGE, ledger_of
from tests.imagery.test_database import make_job

OWNER = "ann"


class World:
    """One job and what may happen to it, run after run."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs = Jobs(database, prices=PRICES)
        self._stages = Stages(database, PRICES)
        self._job = make_job(database, owner_id=OWNER)
        self._run = 1

    def ends(self, state: JobState, stage: Stage, code: str | None = "x") -> None:
        self._stages.begin(self._job, self._run, stage)
        self._jobs.finish(self._job, self._run, state, stage=stage, error_code=code, message=code)

    def cancelled(self) -> None:
        self._jobs.cancel(self._job)

    def retried(self) -> None:
        self._run += 1
        later = utc_now() + timedelta(hours=1)
        assert self._jobs.begin_run(self._job, instance_id="i", run=self._run, deadline=later)

    def sent(self) -> int:
        ledger = ledger_of(self._database)
        entry = ledger.reserve(self._job, self._run, STAGE, PRICE_USD).entry_id
        ledger.mark_sent(entry, self._run)
        return entry

    def paid(self) -> None:
        self.sent()
        self._stages.begin(self._job, self._run, STAGE)
        cache = StageCache(self._database, Settings())
        self._stages.succeed_paid(ledger_of(self._database), cache, self._job, STAGE, OUTPUT)
        self._jobs.finish(self._job, self._run, JobState.COMPLETED)

    def taken_over(self) -> None:
        self._stages.begin(self._job, self._run, STAGE)
        self._stages.succeed(self._job, STAGE, OUTPUT, cached=True)
        self._jobs.finish(self._job, self._run, JobState.COMPLETED)


def failed_retried_and_paid(world: World) -> None:
    world.ends(JobState.FAILED, Stage.REMBG)
    world.retried()
    world.paid()


def failed_twice(world: World) -> None:
    world.ends(JobState.FAILED, Stage.REMBG)
    world.retried()
    world.ends(JobState.FAILED, Stage.REALESRGAN)


def out_of_budget_then_taken_over(world: World) -> None:
    world.ends(JobState.FAILED, STAGE, "budget_usd_per_day")
    world.retried()
    world.taken_over()


def unknown_then_cancelled(world: World) -> None:
    world.sent()
    world.ends(JobState.FAILED, STAGE, "payment_unknown")
    world.retried()
    world.cancelled()


WAYS: list[tuple[Callable[[World], None], dict[str, int]]] = [
    (failed_retried_and_paid, {"failed": 1}),
    (failed_twice, {"failed": 2}),
    (out_of_budget_then_taken_over, {"budget": 1, "cache_hit": 1}),
    (unknown_then_cancelled, {}),
    (lambda world: world.ends(JobState.REJECTED, Stage.GUARDRAIL), {"rejected": 1}),
    (lambda world: world.ends(JobState.FAILED, STAGE, "quota_usd_per_day"), {"budget": 1}),
    (lambda world: world.ends(JobState.FAILED, STAGE, "nano_banana_safety"), {}),
    (World.cancelled, {"cancelled": 1}),
    (World.taken_over, {"cache_hit": 1}),
    (World.paid, {}),
]


@pytest.mark.parametrize(("way", "pictures"), WAYS)
def test_counter_and_report_agree(
    database: Database, way: Callable[[World], None], pictures: dict[str, int]
) -> None:
    way(World(database))
    for owner_id in (OWNER, None):
        with database.read() as session:
            told = avoided(session, owner_id)
            counted = read_counts(session, owner_id).get(Metric.AVOIDED, {})
        assert {each.reason: each.pictures for each in told} == pictures
        assert {each.reason: each.usd for each in told} == {
            reason: to_usd(micro) for reason, micro in counted.items()
        }
        assert sum(each.usd for each in told) == pytest.approx(PRICE_USD * sum(pictures.values()))


def test_what_was_counted_is_never_taken_back(database: Database) -> None:
    world, seen = World(database), [0]

    def look() -> None:
        with database.read() as session:
            seen.append(sum(each.pictures for each in avoided(session, None)))

    steps: list[Callable[[], None]] = [
        lambda: world.ends(JobState.FAILED, Stage.REMBG),
        world.retried,
        world.cancelled,
        world.retried,
        world.paid,
    ]
    for step in steps:
        step()
        look()
    assert seen == [0, 1, 1, 2, 2, 2]


def test_the_migration_counts_the_pictures_behind_the_money(database_url: str) -> None:
    engine = make_engine(database_url)
    upgrade(engine)
    database = Database(engine)
    for _ in range(3):
        failed_twice(World(database))
    out_of_budget_then_taken_over(World(database))
    with database.read() as session:
        before = [avoided(session, owner_id) for owner_id in (OWNER, None)]
    assert [each.pictures for each in before[0]] == [1, 1, 6]
    downgrade(engine, "0005")
    with database.read() as session:
        assert avoided(session, None) == []
    upgrade(engine)
    with database.read() as session:
        assert [avoided(session, owner_id) for owner_id in (OWNER, None)] == before
    engine.dispose()
