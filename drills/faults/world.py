"""What all runs share: GPU service, stores, template of the database, fork server; and the lanes."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import text

from drills.faults.forkserver import ForkServer
from drills.faults.gateway import Gateway
from drills.faults.vault import VaultStandIn
from imagery.contracts import JOBS, UPLOADS
from imagery.database.engine import Database, make_engine
from imagery.database.migrate import upgrade
from imagery.database.users import Users
from imagery.environment import read
from imagery.principal import Role
from imagery.settings import Settings, layered
from imagery.storage import Storage, make_storage
from testbed.azurite import start_azurite
from testbed.clients import local_client
from testbed.ports import free_port
from testbed.postgres import Postgres, start_postgres
from testbed.servers import Server
from testbed.stack import SIGNING_KEY, Piece

_OWNER = "faults"


@dataclass(frozen=True)
class Site:
    """Stores, databases and a GPU service that belong together; ``key`` is a user's API key."""

    storage: Storage
    environment: dict[str, str]
    gateway: Gateway
    key: str
    owner_id: str
    template: Path | None = None
    postgres: Postgres | None = None

    def new_database(self, folder: Path) -> str:
        """The URL of a new database with the schema and the user."""
        if self.postgres is None:
            assert self.template is not None
            shutil.copy(self.template, folder / "imagery.db")
            return f"sqlite:///{folder / 'imagery.db'}"
        name = f"run_{uuid.uuid4().hex}"
        _create(self.postgres, name, f"CREATE DATABASE {name} TEMPLATE template_imagery")
        return self.postgres.url_of(name)


@dataclass
class Lane:
    """One run after the other: a port, a simulator, and a client of it."""

    number: int
    port: int
    simulator: Piece
    bill: httpx.Client


class World:
    """Started once: ``with World(folder, lanes=3) as world``. ``spare`` is a lane for something else."""

    def __init__(self, folder: Path, lanes: int, *, production: bool = True) -> None:
        self.folder = folder
        self._count = lanes
        self._has_production = production
        self._ending = ExitStack()
        self.uploads = threading.Lock()
        self.lanes: list[Lane] = []

    def __enter__(self) -> World:
        try:
            self._start()
        except BaseException:
            self._ending.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hosts = ForkServer(self.folder / "forkserver.log")
        self._ending.callback(self.hosts.stop)
        self.vault = VaultStandIn(self.folder)
        self._ending.callback(self.vault.stop)
        store = self.folder / "store"
        files = {"ENV": "DEV", "AzureWebJobsStorage": "", "LOCAL_STORAGE_PATH": str(store)}
        pieces = [gpu := self._gpu("gpu", files)]
        if self._has_production:
            azurite_folder = self.folder / "azurite"
            azurite_folder.mkdir()
            azurite = start_azurite(azurite_folder)
            self._ending.callback(azurite.stop)
            azure = {"ENV": "PROD", "AzureWebJobsStorage": azurite.connection_string}
            pieces.append(other := self._gpu("gpu-azure", azure))
        *self.lanes, self.spare = [self._lane(number) for number in range(self._count + 1)]
        pieces += [lane.simulator for lane in (*self.lanes, self.spare)]
        for piece in pieces:
            piece.start()
            self._ending.callback(piece.stop)
        self.site = self._files(files, gpu)
        if self._has_production:
            self.production = self._azure(azure, other)
        for piece in pieces:
            piece.wait_ready()

    def _gpu(self, name: str, environment: dict[str, str]) -> Piece:
        port = free_port()
        more = {"GPU_DEVICE": "cpu", "GPU_NETWORKS": "threads=1 runtime=torch", **environment}
        return _piece(self.folder, name, ["-m", "gpu_container"], port, "/readyz", more)

    def _lane(self, number: int) -> Lane:
        port = free_port()
        module = ["-m", "local.nano_banana_simulator", "--latency-s", "0.05", "--hang-s", "30"]
        simulator = _piece(self.folder, f"simulator-{number}", module, port, "/healthz", {})
        client = local_client(port, timeout_s=10)
        return Lane(number, free_port(), simulator, client)

    def _files(self, environment: dict[str, str], gpu: Piece) -> Site:
        template = self.folder / "template.db"
        key, owner = _prepare(f"sqlite:///{template}")
        gateway, environment = self._gateway(gpu, environment)
        return Site(_storage(environment), environment, gateway, key, owner, template=template)

    def _azure(self, environment: dict[str, str], gpu: Piece) -> Site:
        postgres = start_postgres()
        self._ending.callback(postgres.close)
        _create(postgres, "template_imagery", "CREATE DATABASE template_imagery")
        key, owner = _prepare(postgres.url_of("template_imagery"))
        gateway, environment = self._gateway(gpu, environment | self.vault.environment("pictures"))
        return Site(_storage(environment), environment, gateway, key, owner, postgres=postgres)

    def _gateway(self, gpu: Piece, environment: dict[str, str]) -> tuple[Gateway, dict[str, str]]:
        gateway = Gateway(gpu.ready_url.removesuffix("/readyz"))
        server = Server(gateway.app())
        self._ending.callback(server.stop)
        return gateway, environment | {"GPU_SERVICE_URL": server.url}


def host_environment(site: Site, lane: Lane, database_url: str, more: dict[str, str]) -> dict[str, str]:
    """The settings of a host: short waits, and a reconciler that comes each second."""
    defaults = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "AzureWebJobsDisableHomepage": "true",
        "DATABASE_URL": database_url,
        # to read all certificates would take a host longer than to start
        "SSL_CERT_FILE": "",
        "SSL_CERT_DIR": os.devnull,
        "GUARDRAIL_SANDBOX": "workers=1",
        "GPU_RETRY": "first_s=0.1 cap_s=0.3 attempts=3",
        "GPU_START": "first_s=0.1 cap_s=0.3",
        "CIRCUIT": "open_s=0.5 cap_s=0.5",
        "NANO_BANANA_BASE_URL": str(lane.bill.base_url),
        "NANO_BANANA_API_KEY": "simulator",
        "NANO_BANANA_RETRY": "first_s=0.1 cap_s=0.3 timeout_s=30",
        "RECONCILE_SCHEDULE": "* * * * * *",
        "RECONCILE": "grace_s=2",
        "RETENTION_SCHEDULE": "0 0 0 1 1 *",
        # all share one folder of uploads: only who waits for one looks there
        "AzureWebJobs.uploads.Disabled": "true",
        "PYTHON_THREADPOOL_THREAD_COUNT": "32",
        "QUOTA": "jobs_per_minute=100000 usd_per_day=100000",
        "WEBHOOK_SIGNING_KEY": SIGNING_KEY,
        "CALLBACK_RETRY": "first_s=0.2 timeout_s=2",
    }
    return layered(defaults, site.environment, more)


def _piece(
    folder: Path, name: str, module: list[str], port: int, ready: str, environment: dict[str, str]
) -> Piece:
    command = [sys.executable, *module, "--port", str(port)]
    settings = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **environment}
    return Piece(name, command, settings, folder, f"http://127.0.0.1:{port}{ready}")


def _prepare(url: str) -> tuple[str, str]:
    """Bring the schema up to date and make a user: its key and its id."""
    engine = make_engine(url)
    upgrade(engine)
    user, key = Users(Database(engine)).create(_OWNER, Role.ADMIN)
    engine.dispose()
    return key, user.user_id


def _storage(environment: dict[str, str]) -> Storage:
    storage = make_storage(read(Settings, environment))
    storage.ensure_containers(UPLOADS, JOBS)
    return storage


def _create(postgres: Postgres, name: str, statement: str) -> None:
    engine = make_engine(postgres.url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    engine.dispose()
