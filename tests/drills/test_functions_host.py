"""The drill on Microsoft's host parts: what it does without them, and how it reads Azurite's log."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.storage.blob import BlobServiceClient

from devhost.history import EventKind
from drills.functions_host import answers
from drills.functions_host.gateway import GpuCall, gaps_s
from drills.functions_host.histories import Recorded, signed
from drills.functions_host.histories import read as read_histories
from drills.functions_host.replays import differences
from drills.functions_host.requests_log import RequestsLog
from imagery.contracts import JOBS, BlobRef
from imagery.environment import read
from imagery.settings import Settings
from imagery.storage import make_storage
from testbed.azurite import ACCOUNT, Azurite, start_azurite
from testbed.stack import ROOT
from tests.orchestrators.record import HISTORIES
from tests.orchestrators.replay import load_app


@pytest.fixture
def own_azurite(tmp_path: Path) -> Iterator[Azurite]:
    """An Azurite that logs its requests."""
    server = start_azurite(tmp_path, logs_requests=True)
    yield server
    server.stop()


@pytest.mark.drill
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


def _recorded(name: str) -> Recorded:
    told = json.loads(next((HISTORIES / "extension").glob(f"{name}*.json")).read_text())
    return Recorded(told["instanceId"], told["instanceId"], told["history"])


def test_a_history_of_the_extension_replays_without_a_difference() -> None:
    function = load_app().of("orchestrationTrigger")["image_pipeline"]
    count, found = differences(function, _recorded("image_pipeline-052fcd47"), most=50)
    assert (count > 2, found) == (True, [])


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        (EventKind.TASK_SCHEDULED, {"Name": "another"}, "now 'guardrail'"),
        (EventKind.TASK_SCHEDULED, {"EventId": 7}, "task 7 is task_scheduled"),
        (EventKind.EXECUTION_COMPLETED, {"Result": "1"}, "recorded is 1"),
        (EventKind.EXECUTION_COMPLETED, {"OrchestrationStatus": "Failed"}, "did not fail"),
    ],
)
def test_a_difference_to_what_the_extension_recorded_is_found(
    kind: EventKind, change: dict[str, Any], expected: str
) -> None:
    recorded = _recorded("image_pipeline-052fcd47")
    next(event for event in recorded.history if event["EventType"] == kind).update(change)
    function = load_app().of("orchestrationTrigger")["image_pipeline"]
    _, found = differences(function, recorded, most=50)
    assert expected in " ".join(found)


def _table(azurite: Azurite, name: str, rows: list[dict[str, Any]]) -> None:
    url = f"http://127.0.0.1:{azurite.ports['table']}/{ACCOUNT}"
    json_type = {"Content-Type": "application/json"}
    with httpx.Client(trust_env=False) as client:
        headers = signed("Tables") | json_type
        assert client.post(f"{url}/Tables", json={"TableName": name}, headers=headers).status_code == 201
        for row in rows:
            added = client.post(f"{url}/{name}", json=row, headers=signed(name) | json_type)
            assert added.status_code == 201, added.text


def test_histories_are_read_from_the_tables_and_blobs_of_the_extension(own_azurite: Azurite) -> None:
    long = json.dumps("x" * 70_000)
    blobs = BlobServiceClient.from_connection_string(own_azurite.connection_string)
    blobs.create_container("hub-largemessages").upload_blob("a/result.json.gz", gzip.compress(long.encode()))
    blobs.close()
    common = {"ExecutionId": "e1", "EventId": -1}
    started = {"PartitionKey": "a", "RowKey": "0", "EventType": "ExecutionStarted", "Name": "batch"} | common
    many = [
        {"PartitionKey": "a", "RowKey": f"1{n:04}", "EventType": "OrchestratorCompleted"} | common
        for n in range(1001)
    ]
    last = {"PartitionKey": "a", "RowKey": "2", "EventType": "TaskCompleted", "TaskScheduledId": 7} | common
    last |= {"ResultBlobName": "a/result.json.gz", "Result": ""}
    other = {"PartitionKey": "a", "RowKey": "3", "EventType": "GenericEvent"} | common
    end = {"PartitionKey": "a", "RowKey": "sentinel", "ExecutionId": "e1"}
    entity = started | {"PartitionKey": "@counter@key"}
    _table(own_azurite, "HubHistory", [started, *many, last, other, end, entity])
    (recorded,) = read_histories(own_azurite, "Hub")
    assert (recorded.instance_id, recorded.execution_id, recorded.name) == ("a", "e1", "batch")
    assert [event["EventType"] for event in recorded.history] == [0, *[13] * 1001, 5]
    assert (recorded.history[-1]["TaskScheduledId"], recorded.history[-1]["Result"]) == (7, long)


@pytest.mark.drill
def test_the_local_host_says_at_the_edges_what_the_extension_says(tmp_path: Path) -> None:
    with answers.serving(None, tmp_path / "host") as url:
        assert answers.ask(url) == {"answers": len(answers.CASES) + len(answers.EXITS), "differences": []}
