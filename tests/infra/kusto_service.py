"""Microsoft's language service for Kusto queries, over the tables of Application Insights in a workspace."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "kusto"
_INSTALLED = FOLDER / "node_modules/@kusto"
_LIMIT_S = 120.0
_COMMON = (
    "TimeGenerated: datetime, OperationName: string, OperationId: string, ParentId: string, "
    "AppVersion: string, AppRoleName: string, AppRoleInstance: string, ClientIP: string, SDKVersion: string, "
    "Properties: dynamic, ItemCount: int, SourceSystem: string, Type: string, _ResourceId: string"
)
_CALL = "Id: string, Name: string, Success: bool, ResultCode: string, DurationMs: real, Measurements: dynamic"
# as the table reference of Azure Monitor Logs has them, without columns about browsers and billing
SCHEMA = {
    "AppTraces": f"({_COMMON}, Message: string, SeverityLevel: int, Measurements: dynamic)",
    "AppRequests": f"({_COMMON}, {_CALL}, Url: string, Source: string)",
    "AppDependencies": f"({_COMMON}, {_CALL}, Target: string, DependencyType: string, Data: string)",
    "AppMetrics": f"({_COMMON}, Name: string, Sum: real, Min: real, Max: real)",
}


@dataclass(frozen=True)
class Analysis:
    """What is wrong with a query, and the columns it gives with their types."""

    problems: list[str]
    columns: dict[str, str]


def analyse(queries: dict[str, str]) -> dict[str, Analysis]:
    """Each query, parsed and bound. Skips the test where the service is not installed."""
    if shutil.which("node") is None or not _INSTALLED.is_dir():
        pytest.skip("npm ci in tests/infra/kusto (make test does it) installs the Kusto parser")
    done = subprocess.run(
        ["node", "check.js"],
        cwd=FOLDER,
        input=json.dumps({"schema": SCHEMA, "queries": queries}),
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=True,
    )
    return {name: Analysis(**each) for name, each in json.loads(done.stdout).items()}
