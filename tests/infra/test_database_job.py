"""The script that runs a module in the database job, with a stand-in for the Azure CLI."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testbed.stack import ROOT

JOB: dict[str, Any] = {
    "id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/jobs/caj",
    "container": {
        "name": "database",
        "image": "cr.example.org/functions:abc",
        "command": ["python", "-m", "imagery.database"],
        "args": ["upgrade"],
        "env": [{"name": "DATABASE_URL", "value": "postgresql+psycopg://id@host/imagery"}],
        "resources": {"cpu": 0.5, "memory": "1Gi", "ephemeralStorage": "2Gi"},
    },
}


@pytest.fixture
def azure_cli(tmp_path: Path) -> Path:
    """A folder with an ``az`` that shows the job and keeps what it is told."""
    program = tmp_path / "az"
    (tmp_path / "job.json").write_text(json.dumps(JOB))
    program.write_text(
        "#!/bin/sh\n"
        f'for each in "$@"; do printf "%s\\n" "$each"; done > {tmp_path}/last\n'
        f'case "$1" in containerapp) cat {tmp_path}/job.json ;; rest) echo caj-1 ;; esac\n'
    )
    program.chmod(0o755)
    return tmp_path


def run(azure_cli: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PATH": f"{azure_cli}:{os.environ['PATH']}",
        "AZURE_RESOURCE_GROUP": "rg",
        "DATABASE_JOB_NAME": "caj",
    }
    command = ["sh", str(ROOT / "infra/database_job.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_module_runs_with_the_jobs_image_and_settings(azure_cli: Path) -> None:
    done = run(azure_cli, "imagery.users", "create", "ann o'neill", "--role", "admin")
    assert (done.returncode, done.stdout.strip()) == (0, "caj-1"), done.stderr
    told = (azure_cli / "last").read_text().splitlines()
    assert f"https://management.azure.com{JOB['id']}/start?api-version=2025-07-01" in told
    (container,) = json.loads(told[told.index("--body") + 1])["containers"]
    assert container == {
        "name": "database",
        "image": "cr.example.org/functions:abc",
        "env": JOB["container"]["env"],
        "resources": {"cpu": 0.5, "memory": "1Gi"},
        "command": ["python", "-m"],
        "args": ["imagery.users", "create", "ann o'neill", "--role", "admin"],
    }


def test_without_a_module_nothing_is_started(azure_cli: Path) -> None:
    done = run(azure_cli)
    assert done.returncode == 2 and "usage" in done.stderr
    assert not (azure_cli / "last").exists()
