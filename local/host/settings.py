"""What the host reads from its environment, ``local.settings.json`` and ``host.json``."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SETTING = re.compile(r"%([^%]+)%")


class SettingsError(Exception):
    """A setting that the app names is missing or malformed."""


@dataclass(frozen=True)
class HostSettings:
    """Settings of the host itself, and the app's settings for ``%NAME%``."""

    app_dir: Path
    state_dir: Path
    address: str
    port: int
    route_prefix: str
    max_activities: int
    max_orchestrators: int
    max_blobs: int
    poison_after: int
    blob_poll_s: float
    max_body_bytes: int
    http_threads: int
    faults_file: Path | None

    @property
    def base_url(self) -> str:
        """Where the host listens."""
        return f"http://{self.address}:{self.port}"


def load(app_dir: Path, state_dir: Path, address: str, port: int) -> HostSettings:
    """Read all three sources; ``Values`` of ``local.settings.json`` are put into the environment.

    What the environment has already wins, as with Core Tools.
    """
    for name, value in _read_json(app_dir / "local.settings.json").get("Values", {}).items():
        os.environ.setdefault(name, str(value))
    host = _read_json(app_dir / "host.json")
    extensions = host.get("extensions", {})
    durable, blobs = extensions.get("durableTask", {}), extensions.get("blobs", {})
    faults = os.environ.get("HOST_FAULTS_FILE")
    return HostSettings(
        app_dir=app_dir,
        state_dir=state_dir,
        address=address,
        port=port,
        route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
        max_activities=int(durable.get("maxConcurrentActivityFunctions", 10)),
        max_orchestrators=int(durable.get("maxConcurrentOrchestratorFunctions", 10)),
        max_blobs=int(blobs.get("maxDegreeOfParallelism", 8)),
        poison_after=int(blobs.get("poisonBlobThreshold", 5)),
        blob_poll_s=float(os.environ.get("HOST_BLOB_POLL_S", "0.5")),
        max_body_bytes=int(os.environ.get("HOST_MAX_BODY_BYTES", str(100 * 1024 * 1024))),
        http_threads=int(os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT", "16")),
        faults_file=Path(faults) if faults else None,
    )


def setting(name: str) -> str | None:
    """One app setting, None when it is missing or empty."""
    return os.environ.get(name) or None


def resolve(text: str) -> str:
    """Replace each ``%NAME%`` by the app setting. Raises ``SettingsError``."""

    def value(match: re.Match[str]) -> str:
        found = setting(match.group(1))
        if found is None:
            raise SettingsError(f"the app setting {match.group(1)} is missing (used as {match.group(0)})")
        return found

    return _SETTING.sub(value, text)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SettingsError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path} must hold a JSON object")
    return content
