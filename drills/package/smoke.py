"""Starts the app of the folder that is named, alone: ``python -I`` keeps everything else away.

The last line is JSON: the functions, and what the app answers. Standard library and the app only.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

_FUNCTIONS = 13
# health says 503: there is no durable back end behind the app
_STATUS = {"/healthz": 503, "/": 200, "/openapi.json": 200}


async def answer(app: Any, path: str) -> tuple[int, int]:
    """Status and length of what the ASGI app answers."""
    status = length = 0
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            # nobody hangs up
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, length
        status = message.get("status", status)
        length += len(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"localhost")],
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    return status, length


def main(folder: str) -> int:
    """Import it, list its functions, ask for its pages.

    Returns 1 if a function is missing, a page has another status, or a module came from elsewhere.
    """
    state = tempfile.mkdtemp()
    os.environ |= {
        "ENV": "DEV",
        "AzureWebJobsStorage": "",
        "LOCAL_STORAGE_PATH": f"{state}/store",
        "DATABASE_URL": f"sqlite:///{state}/imagery.db",
        "RECONCILE_SCHEDULE": "0 * * * * *",
        "RETENTION_SCHEDULE": "0 * * * * *",
    }
    os.chdir(folder)
    sys.path.insert(0, folder)
    functions = importlib.import_module("function_app").app.get_functions()
    names = sorted(each.get_function_name() for each in functions)
    app = importlib.import_module("api.app").create_app()
    answers = {path: asyncio.run(answer(app, path)) for path in _STATUS}
    homes = {Path(folder).resolve(), Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    foreign = [
        file
        for name, module in list(sys.modules.items())
        if name != "__main__"
        and (file := getattr(module, "__file__", None))
        and not any(home in Path(file).resolve().parents for home in homes)
    ]
    sys.stdout.write(json.dumps({"functions": names, "answers": answers, "foreign": foreign}) + "\n")
    statuses = {path: status for path, (status, _) in answers.items()}
    return 1 if foreign or len(names) != _FUNCTIONS or statuses != _STATUS else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
