"""The histories that the extension keeps in Azure Storage tables, as the SDK is given them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import httpx
from azure.storage.blob import BlobServiceClient

from devhost.history import Event
from testbed.azurite import ACCOUNT, KEY, Azurite

# numbers of the SDK's HistoryEventType, and what it reads of each; other events no orchestrator is shown
_KINDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "ExecutionStarted": (0, ("Name", "Input", "Version")),
    "ExecutionCompleted": (1, ("OrchestrationStatus", "Result")),
    "ExecutionTerminated": (3, ("Input",)),
    "TaskScheduled": (4, ("Name", "Input", "Version")),
    "TaskCompleted": (5, ("TaskScheduledId", "Result")),
    "TaskFailed": (6, ("TaskScheduledId", "Reason", "Details")),
    "SubOrchestrationInstanceCreated": (7, ("Name", "InstanceId", "Input", "Version")),
    "SubOrchestrationInstanceCompleted": (8, ("TaskScheduledId", "Result")),
    "SubOrchestrationInstanceFailed": (9, ("TaskScheduledId", "Reason", "Details")),
    "TimerCreated": (10, ("FireAt",)),
    "TimerFired": (11, ("TimerId", "FireAt")),
    "OrchestratorStarted": (12, ()),
    "OrchestratorCompleted": (13, ()),
    "EventSent": (14, ("Name", "InstanceId", "Input")),
    "EventRaised": (15, ("Name", "Input")),
    "ExecutionSuspended": (19, ("Reason",)),
    "ExecutionResumed": (20, ("Reason",)),
}
# a longer text is a gzipped blob, named in a column of its own
_IN_A_BLOB = "BlobName"
_MOST_PAGES = 1000


@dataclass(frozen=True)
class Recorded:
    """One instance, in its present execution."""

    instance_id: str
    execution_id: str
    history: list[Event]

    @property
    def name(self) -> str:
        """Of the orchestrator."""
        return next(str(event["Name"]) for event in self.history if event["EventType"] == 0)


def read(azurite: Azurite, task_hub: str) -> list[Recorded]:
    """Every orchestration of ``task_hub``; entities are left out."""
    blobs = BlobServiceClient.from_connection_string(azurite.connection_string)
    large = blobs.get_container_client(f"{task_hub.lower()}-largemessages")
    found = []
    rows = (row for row in _rows(azurite, f"{task_hub}History") if row["RowKey"] != "sentinel")
    for instance_id, of_one in itertools.groupby(rows, key=lambda row: str(row["PartitionKey"])):
        if instance_id.startswith("@"):
            continue
        kept = [row for row in of_one if row["EventType"] in _KINDS]
        history = [_event({name: _text(row, name, large) for name in row}) for row in kept]
        found.append(Recorded(instance_id, str(kept[0]["ExecutionId"]), history))
    blobs.close()
    return found


def _event(row: dict[str, Any]) -> Event:
    kind, fields = _KINDS[row["EventType"]]
    common = {
        "EventType": kind,
        "EventId": row["EventId"],
        "IsPlayed": False,
        # the table's own Timestamp is when the row was written
        "Timestamp": row.get("_Timestamp", row["Timestamp"]),
    }
    # the table has no column for what is null
    return common | {name: row.get(name) for name in fields}


def _text(row: dict[str, Any], name: str, large: Any) -> Any:
    blob = row.get(name + _IN_A_BLOB)
    if not blob:
        return row[name]
    return gzip.decompress(large.download_blob(blob).readall()).decode()


def _rows(azurite: Azurite, table: str) -> Iterator[dict[str, Any]]:
    """In the order of instance and row. Raises ``httpx.HTTPStatusError``."""
    following: dict[str, str] = {}
    url = f"http://127.0.0.1:{azurite.ports['table']}/{ACCOUNT}/{table}()"
    with httpx.Client(trust_env=False, timeout=30) as client:
        for _ in range(_MOST_PAGES):
            answer = client.get(url, params=following, headers=signed(f"{table}()"))
            answer.raise_for_status()
            yield from answer.json()["value"]
            following = {
                name: value
                for name in ("NextPartitionKey", "NextRowKey")
                if (value := answer.headers.get(f"x-ms-continuation-{name}"))
            }
            if not following:
                return
    raise RuntimeError(f"{table} has more than {_MOST_PAGES} pages")


def signed(resource: str) -> dict[str, str]:
    """The headers of a request that Azure's Shared Key Lite admits."""
    date = formatdate(usegmt=True)
    text = f"{date}\n/{ACCOUNT}/{ACCOUNT}/{resource}"
    signature = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    return {
        "x-ms-date": date,
        "x-ms-version": "2019-02-02",
        "Accept": "application/json;odata=nometadata",
        "Authorization": f"SharedKeyLite {ACCOUNT}:{base64.b64encode(signature).decode()}",
    }
