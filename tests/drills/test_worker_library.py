"""The app through the library of Microsoft's own Python worker: it is indexed, and calls of each kind run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drills.functions_host.python import PythonMissingError, interpreter
from imagery.contracts import JOBS, UPLOADS, BlobRef, JobOptions
from imagery.environment import read
from imagery.job_ids import upload_job_id
from imagery.settings import Settings
from imagery.storage import make_storage
from lifecycle.instances import instance_id_of
from testbed.azurite import Azurite
from testbed.pictures import small_photo
from testbed.schema import sqlite_with_schema
from testbed.stack import ROOT

pytestmark = pytest.mark.slow

_LIBRARY = ROOT / "drills/functions_host/library.py"
_BLOB = "worker-library.jpg"
# of any binding: ScriptBindingContext.cs of Azure/azure-functions-host
_COMMON = {"type", "name", "direction", "dataType", "cardinality", "properties"}
# of each type: properties of the extension's attribute class, without regard to case, or what the host reads
_READ_BY_EXTENSIONS = {
    # OrchestrationTriggerAttribute.cs, ActivityTriggerAttribute.cs and DurableClientAttribute.cs of
    # Azure/azure-functions-durable-extension
    "orchestrationTrigger": {"orchestration"},
    "activityTrigger": {"activity"},
    "durableClient": {"taskHub", "connectionName", "externalClient"},
    # CoreExtensionsScriptBindingProvider.cs of Azure/azure-functions-host, http and timers; host 4 reads no
    # webHookType
    "httpTrigger": {"route", "methods", "authLevel"},
    "http": set[str](),
    "timerTrigger": {"schedule", "runOnStartup", "useMonitor"},
    # BlobTriggerAttribute.cs of Azure/azure-sdk-for-net, whose BlobPath JobHostMetadataProvider.cs of
    # Azure/azure-webjobs-sdk takes from "path"
    "blobTrigger": {"path", "connection", "source"},
}


@pytest.fixture(scope="module")
def python() -> Path:
    """The Python of the worker; skipped only where there is no 3.13."""
    try:
        return interpreter()
    except PythonMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def seen(python: Path, azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the library returned, and the job that the blob must have become."""
    environment = {
        **os.environ,
        "ENV": "PROD",
        "AzureWebJobsStorage": azurite.connection_string,
        "DATABASE_URL": sqlite_with_schema(tmp_path_factory.mktemp("worker") / "imagery.db"),
        "RECONCILE_SCHEDULE": "0 * * * * *",
        "RETENTION_SCHEDULE": "0 * * * * *",
        "NANO_BANANA_API_KEY": "simulator",
    }
    storage = make_storage(read(Settings, environment))
    storage.ensure_containers(UPLOADS, JOBS)
    blob = storage.write(BlobRef(container=UPLOADS, name=_BLOB), small_photo(), "image/jpeg")
    command = [str(python), str(_LIBRARY), _BLOB]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told | {"job_id": upload_job_id(blob, JobOptions())}


def test_the_library_indexes_all_functions(seen: dict[str, Any]) -> None:
    triggers = [
        binding["type"]
        for bindings in seen["bindings"].values()
        for binding in bindings
        if binding["type"].endswith("Trigger")
    ]
    assert len(triggers) == len(seen["bindings"]) == 13


def test_every_binding_holds_only_what_its_extension_reads(seen: dict[str, Any]) -> None:
    for name, bindings in seen["bindings"].items():
        for binding in bindings:
            unread = binding.keys() - _COMMON - _READ_BY_EXTENSIONS[binding["type"]]
            assert not unread, f"{name}: nothing reads {unread} of {binding}"


def test_the_upload_is_handed_over_as_a_client_and_not_as_bytes(seen: dict[str, Any]) -> None:
    trigger = next(each for each in seen["bindings"]["uploads"] if each["type"] == "blobTrigger")
    assert trigger["source"] in {"LogsAndContainerScan", "EventGrid"}
    assert trigger["properties"] == {"SupportsDeferredBinding": True}


def test_an_http_request_reaches_the_app(seen: dict[str, Any]) -> None:
    assert seen["http"]["status"] == "200"
    assert seen["http"]["body"]["dependencies"]["storage"]["state"] == "ok"


def test_a_blob_starts_one_orchestration(seen: dict[str, Any]) -> None:
    ((instance, started),) = seen["started"].items()
    assert instance == instance_id_of(seen["job_id"], 1)
    assert started["job_id"] == seen["job_id"]


def test_the_first_episode_calls_the_guardrail_with_the_whole_retry_policy(seen: dict[str, Any]) -> None:
    ((action,),) = seen["episode"]["actions"]
    (call,) = action["compoundActions"]
    assert call["functionName"] == "guardrail"
    assert call["retryOptions"].keys() == {
        "firstRetryIntervalInMilliseconds",
        "maxNumberOfAttempts",
        "backoffCoefficient",
        "maxRetryIntervalInMilliseconds",
    }


def test_an_activity_runs_with_the_input_that_the_orchestrator_gave_it(seen: dict[str, Any]) -> None:
    assert seen["activity"]["outcome"] == "succeeded"
    assert seen["activity"]["output"]["name"] == f"{seen['job_id']}/0-guardrail.png"
