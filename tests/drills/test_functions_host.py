"""The drill on Microsoft's host parts: what it does without them, and how it reads Azurite's log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drills.functions_host.gateway import GpuCall, gaps_s
from drills.functions_host.requests_log import RequestsLog
from imagery.contracts import JOBS, BlobRef
from imagery.environment import read
from imagery.settings import Settings
from imagery.storage import make_storage
from testbed.azurite import Azurite, start_azurite
from testbed.stack import ROOT


@pytest.fixture
def own_azurite(tmp_path: Path) -> Iterator[Azurite]:
    """An Azurite that logs its requests."""
    server = start_azurite(tmp_path, logs_requests=True)
    yield server
    server.stop()


@pytest.mark.slow
def test_without_a_functions_host_it_says_so_and_is_no_failure(tmp_path: Path) -> None:
    environment = {**os.environ, "FUNCHOST": str(tmp_path / "none")}
    command = [sys.executable, "-m", "drills", "functions-host", "--short"]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    reason, last = done.stdout.splitlines()
    assert str(tmp_path / "none") in reason
    assert json.loads(last) == {"skipped": True}


def test_it_counts_transactions_and_sees_the_blobs_that_were_stored(own_azurite: Azurite) -> None:
    environment = {"ENV": "PROD", "AzureWebJobsStorage": own_azurite.connection_string}
    storage = make_storage(read(Settings, environment))
    storage.ensure_containers(JOBS)
    log = RequestsLog(own_azurite.log)
    before, since = log.count(), log.end()
    ref = BlobRef(container=JOBS, name="some-job/3-nano-banana.png")
    assert not log.has_written(ref.path, since)
    storage.write(ref, b"no picture", "image/png")
    assert log.wait_for_blob(ref.path, since, limit_s=5)
    assert not log.has_written(ref.path, log.end())
    assert log.count() > before


def test_gaps_are_the_seconds_between_calls() -> None:
    calls = [GpuCall(at, "/v1/upscale", "job") for at in (1.0, 3.0, 4.0, 9.0)]
    assert gaps_s(calls) == {"shortest": 1.0, "median": 2.0, "longest": 5.0}
    assert gaps_s(calls[:1]) == {"shortest": 0.0, "median": 0.0, "longest": 0.0}
