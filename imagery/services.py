"""What the rooms work with, built once a process from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from imagery.contracts import JOBS, UPLOADS
from imagery.database import event_watch
from imagery.database.batches import Batches
from imagery.database.breakers import CircuitBreakers
from imagery.database.budget import Budgets
from imagery.database.callbacks import Callbacks
from imagery.database.circuits import BreakerPolicy, GuardedDependency
from imagery.database.engine import Database, get_database
from imagery.database.event_watch import EventWatch
from imagery.database.gpu_answers import GpuAnswers
from imagery.database.jobs import Jobs
from imagery.database.ledger import Ledger
from imagery.database.migrate import upgrade
from imagery.database.quotas import Quotas
from imagery.database.retention import Retention
from imagery.database.sessions import Sessions
from imagery.database.stage_cache import StageCache
from imagery.database.stages import Stages
from imagery.database.tickets import Tickets
from imagery.database.users import Users
from imagery.gpu_client import GpuClient
from imagery.guardrail.examine import Guardrail
from imagery.provenance.sign import PictureSigners
from imagery.providers.choice import make_providers
from imagery.providers.protocol import Provider
from imagery.settings import Settings, get_settings
from imagery.storage import Storage, get_storage

# to connect, and to fetch what a response only names
_ANSWER_MARGIN_S = 45.0


@dataclass(frozen=True)
class PaidRoute:
    """A provider of the paid stage, with the circuit of its own."""

    dependency: GuardedDependency
    provider: Provider


@dataclass(frozen=True)
class Services:
    """Storage, tables, guardrail, ledger, cache, circuits and the two clients."""

    settings: Settings
    storage: Storage
    database: Database
    jobs: Jobs
    stages: Stages
    users: Users
    quotas: Quotas
    tickets: Tickets
    sessions: Sessions
    callbacks: Callbacks
    batches: Batches
    retention: Retention
    guardrail: Guardrail
    ledger: Ledger
    stage_cache: StageCache
    circuits: CircuitBreakers
    event_watch: EventWatch
    gpu: GpuClient
    gpu_answers: GpuAnswers
    nano_banana: Provider
    fallback: Provider | None
    picture_signers: PictureSigners

    @property
    def paid_routes(self) -> tuple[PaidRoute, ...]:
        """The providers of the paid stage, in the order in which they are asked."""
        first = PaidRoute(GuardedDependency.NANO_BANANA, self.nano_banana)
        if self.fallback is None:
            return (first,)
        return first, PaidRoute(GuardedDependency.NANO_BANANA_FALLBACK, self.fallback)


@lru_cache(maxsize=1)
def get_services() -> Services:
    """The services of this process. On SQLite the schema is brought up to date first."""
    settings, database = get_settings(), get_database()
    if database.engine.dialect.name == "sqlite":
        upgrade(database.engine)
    storage = get_storage()
    storage.ensure_containers(UPLOADS, JOBS)
    circuits = CircuitBreakers(database, BreakerPolicy.of(settings))
    users = Users(database)
    first, *others = make_providers(settings)
    return Services(
        settings=settings,
        storage=storage,
        database=database,
        jobs=Jobs(
            database, timedelta(seconds=settings.callbacks.retry.lifetime_s), settings.nano_banana.price_table
        ),
        stages=Stages(database, settings.nano_banana.price_table),
        users=users,
        quotas=Quotas.of(settings),
        tickets=Tickets(database),
        sessions=Sessions(database, users),
        callbacks=Callbacks(database),
        guardrail=Guardrail(settings, circuits),
        batches=Batches(database),
        retention=Retention(database),
        ledger=Ledger(
            database,
            answer_within=timedelta(seconds=settings.nano_banana.retry.longest_s + _ANSWER_MARGIN_S),
            budgets=Budgets(settings.jobs.budget_usd_per_day, settings.jobs.quota.usd_per_day),
        ),
        stage_cache=StageCache(database, settings),
        circuits=circuits,
        event_watch=EventWatch(database, event_watch.LOOK_EVERY_S),
        gpu=GpuClient(settings),
        gpu_answers=GpuAnswers(database),
        nano_banana=first,
        fallback=next(iter(others), None),
        picture_signers=PictureSigners(settings),
    )
