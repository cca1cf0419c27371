"""Chooses where Durable Functions keeps its state: ``python -m infra.durable_backend BACKEND``.

host.json (what the host uses) and infra/main.parameters.json (what is deployed) change together. Drain first:
orchestrations in flight stay in the old back end.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

PROVIDERS: dict[str, dict[str, Any]] = {
    "azureStorage": {
        "type": "AzureStorage",
        "connectionName": "AzureWebJobsStorage",
        # after a crash the messages of the lost host come back so late; the least there may be
        "controlQueueVisibilityTimeout": "00:01:00",
        "workItemQueueVisibilityTimeout": "00:01:00",
    },
    "durableTaskScheduler": {
        "type": "azureManaged",
        "connectionStringName": "DURABLE_TASK_SCHEDULER_CONNECTION_STRING",
    },
}


def choose(backend: str, root: Path = ROOT) -> None:
    """Write ``backend`` into both files."""
    host = root / "host.json"
    pattern = re.compile(r'"storageProvider": \{[^}]*\}')
    provider = textwrap.indent(json.dumps(PROVIDERS[backend], indent=2), " " * 6).lstrip()
    _replace(host, pattern, f'"storageProvider": {provider}')
    parameters = root / "infra/main.parameters.json"
    pattern = re.compile(r'"durableBackend": \{[^}]*\}')
    _replace(parameters, pattern, f'"durableBackend": {{ "value": "{backend}" }}')


def _replace(path: Path, pattern: re.Pattern[str], text: str) -> None:
    changed, count = pattern.subn(lambda _: text, path.read_text())
    if count != 1:
        raise ValueError(f"{path.name} does not name its back end exactly once")
    path.write_text(changed)


def main(arguments: list[str]) -> int:
    """Choose."""
    parser = argparse.ArgumentParser(prog="python -m infra.durable_backend", description=__doc__)
    parser.add_argument("backend", choices=sorted(PROVIDERS))
    choose(parser.parse_args(arguments).backend)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
