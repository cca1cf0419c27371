"""Writes the settings into the files of each way to run: ``python -m infra.settings_files [--check]``.

``imagery/settings.py`` and ``gpu_container/settings.py`` say what there is; this says what differs from
their defaults, and where a setting does not belong.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection
from pathlib import Path

from pydantic_settings import BaseSettings

from gpu_container.settings import GpuSettings
from imagery.settings import Settings
from imagery.settings_table import default_text, variable

ROOT = Path(__file__).parent.parent

# what infra/modules/function-app.bicep computes or fetches
WIRED = {
    "ENV",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_CREDENTIAL",
    "AZURE_CLIENT_ID",
    "AzureWebJobsStorage__accountName",
    "BLOB_TRIGGER_SOURCE",
    "DATABASE_URL",
    "GPU_SERVICE_URL",
    "GPU_APP_ID",
    "NANO_BANANA_API_KEY",
    "WEBHOOK_SIGNING_KEY",
    "CONTENT_SAFETY_ENDPOINT",
}
# settings of other ways to run, each with the reason why Azure does without
NOT_IN_AZURE = {
    "AzureWebJobsStorage": "the account has no keys",
    "LOCAL_STORAGE_PATH": "blobs are never files there",
    "CONTENT_SAFETY_KEY": "the account has no keys",
    "WEBSITE_AUTH_ENABLED": "set by the platform",
}
NOT_ON_A_LAPTOP = {
    "AzureWebJobsStorage__accountName": "Azurite has a connection string",
    "WEBSITE_AUTH_ENABLED": "set by the platform",
}
IN_AZURE = {"TELEMETRY_EXPORTER": "opentelemetry"}
UNDER_CORE_TOOLS = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "RECONCILE_SCHEDULE": "*/15 * * * * *",
    "RECONCILE_GRACE_S": "10",
    "GPU_RETRY_FIRST_S": "1",
    "GPU_RETRY_ATTEMPTS": "6",
    "NANO_BANANA_BASE_URL": "http://127.0.0.1:8090",
    "NANO_BANANA_API_KEY": "simulator",
}
# read by the host, not by the code
HOST = {"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsDisableHomepage": "true"}
# of this machine's process, not of a deployment
_NOT_OF_A_CONTAINER = {"GPU_HOST", "GPU_PORT", "GPU_MODEL_CACHE", "GPU_REPLICA"}


def defaults(model: type[BaseSettings]) -> dict[str, str]:
    """Each variable with its default as text; empty where there is none."""
    return {
        variable(name, field, model): default_text(field.default)
        for name, field in model.model_fields.items()
    }


def app_settings() -> str:
    """``infra/app-settings.json``: what the function app gets beside ``WIRED``."""
    known = defaults(Settings)
    return _json(
        {name: IN_AZURE.get(name, known[name]) for name in known if name not in WIRED | NOT_IN_AZURE.keys()}
    )


def local_settings() -> str:
    """``local.settings.example.json``: for Core Tools."""
    known = {name: value for name, value in defaults(Settings).items() if name not in NOT_ON_A_LAPTOP}
    return _json({"IsEncrypted": False, "Values": HOST | known | UNDER_CORE_TOOLS})


def env_example() -> str:
    """``.env.example``: what docker compose hands on; empty means the default."""
    lines = ["# Copy to .env; an empty value means the default. compose.yaml hands these on.", ""]
    lines += ["# The function app"]
    lines += _env_lines(Settings, NOT_ON_A_LAPTOP.keys())
    lines += ["", "# The GPU service"]
    lines += _env_lines(GpuSettings, _NOT_OF_A_CONTAINER)
    lines += ["", "# compose.yaml itself"]
    lines += [f"# {meaning}\n{name}=" for name, meaning in COMPOSE.items()]
    return "\n".join(lines) + "\n"


# variables of compose.yaml that are no settings of a program
COMPOSE = {
    "COMPOSE_PROFILES": "gpu (NVIDIA), monitoring (Prometheus, Grafana, Durable Functions monitor), or both",
    "POSTGRES_PASSWORD": "password of the local database",
    "CUDA_IMAGE": "base of the GPU image: nvidia/cuda:TAG@sha256:DIGEST",
    "TORCH_ARGS": "extra options of pip for torch, such as another index",
    "DURABLE_MONITOR_IMAGE": "image of the Durable Functions monitor",
    "METRICS_KEY": "API key of an operator, for Prometheus",
    "GRAFANA_PASSWORD": "password of the user admin of Grafana",
}


def compose(text: str) -> str:
    """``compose.yaml`` with the lists between its markers brought up to date."""
    app = [name for name in defaults(Settings) if name not in NOT_ON_A_LAPTOP]
    gpu = [name for name in defaults(GpuSettings) if name not in _NOT_OF_A_CONTAINER]
    return _between(_between(text, "settings", app), "gpu settings", gpu)


def files() -> dict[Path, str]:
    """Every file with the text it should have."""
    return {
        ROOT / "infra/app-settings.json": app_settings(),
        ROOT / "local.settings.example.json": local_settings(),
        ROOT / ".env.example": env_example(),
        ROOT / "compose.yaml": compose((ROOT / "compose.yaml").read_text()),
    }


def _between(text: str, mark: str, names: list[str]) -> str:
    lines = "".join(f"  {name}:\n" for name in names)
    pattern = re.compile(rf"(  # {mark}: begin[^\n]*\n).*?(  # {mark}: end\n)", re.DOTALL)
    return pattern.sub(lambda found: found[1] + lines + found[2], text)


def _env_lines(model: type[BaseSettings], without: Collection[str]) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        known = variable(name, field, model)
        if known not in without:
            default = default_text(field.default)
            lines.append(f"# {field.description}" + (f" Default: {default}" if default else ""))
            lines.append(f"{known}=")
    return lines


def _json(values: dict[str, object]) -> str:
    return json.dumps(values, indent=2) + "\n"


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` only tell which ones are out of date."""
    old = {path: text for path, text in files().items() if not path.exists() or path.read_text() != text}
    if "--check" not in arguments:
        for path, text in old.items():
            path.write_text(text)
    for path in old:
        sys.stdout.write(
            f"{path.relative_to(ROOT)} {'is out of date' if '--check' in arguments else 'written'}\n"
        )
    return 1 if old and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
