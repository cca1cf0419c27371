"""What the rooms work with, built once a process from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from imagery.contracts import JOBS, UPLOADS
from imagery.database.engine import Database, get_database
from imagery.database.jobs import Jobs
from imagery.database.migrate import upgrade
from imagery.database.stages import Stages
from imagery.gpu_client import GpuClient
from imagery.nano_banana import NanoBanana
from imagery.settings import Settings, get_settings
from imagery.spend import Ledger
from imagery.storage import Storage, get_storage

_ANSWER_MARGIN_S = 30.0


@dataclass(frozen=True)
class Services:
    """Storage, tables, ledger and the two clients."""

    settings: Settings
    storage: Storage
    database: Database
    jobs: Jobs
    stages: Stages
    ledger: Ledger
    gpu: GpuClient
    nano_banana: NanoBanana


@lru_cache(maxsize=1)
def get_services() -> Services:
    """The services of this process. On SQLite the schema is brought up to date first."""
    settings, database = get_settings(), get_database()
    if database.engine.dialect.name == "sqlite":
        upgrade(database.engine)
    storage = get_storage()
    storage.ensure_containers(UPLOADS, JOBS)
    return Services(
        settings=settings,
        storage=storage,
        database=database,
        jobs=Jobs(database),
        stages=Stages(database),
        ledger=Ledger(
            database, answer_within=timedelta(seconds=settings.nano_banana_timeout_s + _ANSWER_MARGIN_S)
        ),
        gpu=GpuClient(settings),
        nano_banana=NanoBanana(settings),
    )
