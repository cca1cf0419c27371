"""Generators that are not ours read the description of the API, and what they write works."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from imagery.principal import Role
from imagery.services import Services

ROOT = Path(__file__).parent.parent.parent
TYPES = ROOT / "frontend/src/api/schema.d.ts"
OPENAPI_TYPESCRIPT = ROOT / "frontend/node_modules/.bin/openapi-typescript"
CLIENT = "generated_client"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_text(json.dumps(create_app().openapi()))
    return path


def run(*command: str | Path, folder: Path) -> str:
    """What the command says."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_dashboards_types_are_those_of_the_api(document: Path, tmp_path: Path) -> None:
    written = tmp_path / "schema.d.ts"
    told = run(OPENAPI_TYPESCRIPT, document, "-o", written, folder=tmp_path)
    assert "warn" not in told.lower(), told
    assert written.read_text() == TYPES.read_text(), "the types are old: cd frontend && npm run types"


@pytest.fixture(scope="module")
def client(document: Path) -> Iterator[str]:
    """The package that openapi-python-client writes, on the import path."""
    folder = document.parent
    # its formatting of the client needs tools on the PATH, and proves nothing
    config = folder / "generator.yaml"
    config.write_text("post_hooks: []\n")
    generator = Path(sys.executable).with_name("openapi-python-client")
    options = ("--path", document, "--meta", "none", "--output-path", CLIENT, "--config", config)
    told = run(generator, "generate", *options, folder=folder)
    assert "warning" not in told.lower(), told
    sys.path.insert(0, str(folder))
    yield CLIENT
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == CLIENT]:
        del sys.modules[name]


def test_every_module_of_a_generated_client_can_be_imported(client: str, document: Path) -> None:
    package = document.parent / client
    for path in package.rglob("*.py"):
        importlib.import_module(".".join(path.relative_to(package.parent).with_suffix("").parts))
    operations = [path for path in package.glob("api/*/*.py") if path.name != "__init__.py"]
    assert len(operations) == 30


def test_a_generated_client_reads_a_missing_job_as_a_problem(client: str, services: Services) -> None:
    _, key = services.users.create(uuid.uuid4().hex, Role.USER)
    generated = importlib.import_module(f"{client}.client").AuthenticatedClient(
        base_url="http://test",
        token=key,
        httpx_args={"transport": httpx.ASGITransport(create_app())},
        raise_on_unexpected_status=True,
    )
    operation = importlib.import_module(f"{client}.api.jobs.get_job_status")
    answer: Any = asyncio.run(operation.asyncio_detailed("no-such-job", client=generated))
    problem = answer.parsed
    assert (answer.status_code, type(problem).__name__) == (404, "Problem")
    assert (problem.code.value, problem.detail) == ("job_not_found", "There is no job 'no-such-job'.")
    found: Any = asyncio.run(
        importlib.import_module(f"{client}.api.jobs.list_jobs").asyncio(client=generated)
    )
    assert (type(found).__name__, found.jobs) == ("JobPage", [])
