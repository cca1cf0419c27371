"""The pieces of the stack: how each is started, with which settings, and when it is ready."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from local.options import ROOT, StackOptions
from local.processes import Child, StartError

# the development account that every Azurite has; public, no secret
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_SETUP = "'make setup' installs it; 'make doctor' says what is missing."

# quick repairs and retries, in variables of several words
_WORDS = {
    "RECONCILE": "grace_s=5",
    "GPU_RETRY": "first_s=1 attempts=6",
    "NANO_BANANA_RETRY": "first_s=1",
}


def connection_string(ports: dict[str, int]) -> str:
    """Azurite's connection string, for the Azure SDK and its tools."""
    services = {"Blob": "AZURITE_BLOB_PORT", "Queue": "AZURITE_QUEUE_PORT", "Table": "AZURITE_TABLE_PORT"}
    endpoints = ";".join(
        f"{service}Endpoint=http://127.0.0.1:{ports[name]}/{_ACCOUNT}" for service, name in services.items()
    )
    return f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};{endpoints};"


def is_simulated(options: StackOptions) -> bool:
    """True unless the user set a key of the paid service, or chose the one that needs none."""
    given = options.environment
    return not given.get("NANO_BANANA_API_KEY") and "vertex" not in given.get("NANO_BANANA_PROVIDER", "")


def settings(options: StackOptions, ports: dict[str, int]) -> dict[str, str]:
    """The environment of every piece; the user's variables win, except for addresses."""
    defaults = {
        "ENV": "DEV",
        "LOCAL_STORAGE_PATH": str(options.run_dir / "storage"),
        "DATABASE_URL": f"sqlite:///{options.run_dir / 'imagery.db'}",
        "WEBHOOK_SIGNING_KEY": _kept_secret(options.run_dir / "webhook-signing.key"),
        "RECONCILE_SCHEDULE": "*/10 * * * * *",
        "RETENTION_SCHEDULE": "0 * * * * *",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "PYTHON_THREADPOOL_THREAD_COUNT": "32",
        "AzureWebJobsDisableHomepage": "true",
        "PYTHONUNBUFFERED": "1",
    }
    given = {name: value for name, value in options.environment.items() if value}
    fixed = {
        **_around_proxies(given),
        "AzureWebJobsStorage": connection_string(ports) if options.storage == "azurite" else "",
        "GPU_SERVICE_URL": f"http://127.0.0.1:{ports['GPU_PORT']}",
    }
    if is_simulated(options):
        fixed["NANO_BANANA_BASE_URL"] = f"http://127.0.0.1:{ports['NANO_BANANA_PORT']}"
        fixed["NANO_BANANA_API_KEY"] = "simulator"
    # of a word that stands there twice the last one counts
    words = {name: f"{value} {given.get(name, '')}".strip() for name, value in _WORDS.items()}
    return defaults | given | words | fixed


def _around_proxies(given: dict[str, str]) -> dict[str, str]:
    """The pieces call each other on this machine, where no proxy can reach them."""
    known = given.get("no_proxy") or given.get("NO_PROXY") or ""
    exceptions = ",".join(part for part in (known, "127.0.0.1", "localhost") if part)
    return {"NO_PROXY": exceptions, "no_proxy": exceptions}


def migrate(options: StackOptions, ports: dict[str, int]) -> Child:
    """Returns the process that upgrades the database's schema, once, before the host starts."""
    command = [sys.executable, "-m", "imagery.database", "upgrade"]
    child = _child(options, "database", command, settings(options, ports), url="")
    child.hint = "Is DATABASE_URL right, and is that database running?"
    return child


def development_key(options: StackOptions, ports: dict[str, int]) -> tuple[str, bool]:
    """Returns the developer's key, and whether it is new. Raises ``StartError``."""
    given = options.environment.get("API_KEY")
    if given:
        return given, False
    file = options.run_dir / "api.key"
    command = [sys.executable, "-m", "imagery.users", "develop", "--key-file", str(file)]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=settings(options, ports),
            capture_output=True,
            text=True,
            timeout=options.start_limit_s,
            check=True,
        )
        return file.read_text().strip(), bool(done.stdout.strip())
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or str(error)
        raise StartError(f"the developer's key could not be made: {str(told).strip()[-500:]}") from error


def _kept_secret(file: Path) -> str:
    """A random secret that stays the same as long as its file exists."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32) + "\n")
    return file.read_text().strip()


def pieces(options: StackOptions, ports: dict[str, int]) -> list[Child]:
    """Returns every child that is watched, the host last."""
    environment = settings(options, ports)
    children = [_azurite(options, ports, environment)] if options.storage == "azurite" else []
    children.append(_gpu(options, ports, environment))
    if is_simulated(options):
        children.append(_simulator(options, ports, environment))
    children.append(_host(options, ports, environment))
    return children


def _azurite(options: StackOptions, ports: dict[str, int], environment: dict[str, str]) -> Child:
    binary = ROOT / "local/azurite/node_modules/.bin/azurite"
    folder = options.run_dir / "azurite"
    command = [str(binary), "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    command += ["--location", str(folder)]
    for service in ("blob", "queue", "table"):
        command += [f"--{service}Port", str(ports[f"AZURITE_{service.upper()}_PORT"])]
    url = f"http://127.0.0.1:{ports['AZURITE_BLOB_PORT']}/{_ACCOUNT}?comp=list"
    child = _child(options, "azurite", command, environment, url)
    # a 403 for the unsigned request means that it is ready
    child.ready_below = 500
    return child


def _gpu(options: StackOptions, ports: dict[str, int], environment: dict[str, str]) -> Child:
    port = ports["GPU_PORT"]
    command = [sys.executable, "-m", "gpu_container", "--host", "127.0.0.1", "--port", str(port)]
    child = _child(options, "gpu", command, environment, f"http://127.0.0.1:{port}/readyz")
    child.hint = "'.venv/bin/python -m gpu_container.fetch_models' fetches the models; see 'make doctor'."
    child.health_url = f"http://127.0.0.1:{port}/healthz"
    return child


def _simulator(options: StackOptions, ports: dict[str, int], environment: dict[str, str]) -> Child:
    port = ports["NANO_BANANA_PORT"]
    command = [sys.executable, "-m", "local.nano_banana_simulator", "--port", str(port)]
    command += ["--bill-file", str(options.run_dir / "nano-banana-bill.json")]
    command += ["--chain-file", str(options.run_dir / "nano-banana-chain.pem")]
    return _child(options, "simulator", command, environment, f"http://127.0.0.1:{port}/healthz")


def _host(options: StackOptions, ports: dict[str, int], environment: dict[str, str]) -> Child:
    port = ports["PORT"]
    if options.host == "func":
        if shutil.which("func") is None:
            raise StartError("'func' is not installed: npm install -g azure-functions-core-tools@4")
        command = ["func", "start", "--port", str(port)]
        # Core Tools uses the Python of the active virtual environment
        binaries = Path(sys.executable).parent
        path = f"{binaries}{os.pathsep}{environment.get('PATH', '')}"
        environment = environment | {"VIRTUAL_ENV": str(binaries.parent), "PATH": path}
    else:
        state = str(options.run_dir / "host")
        command = [sys.executable, "-m", "devhost", "--port", str(port), "--state-dir", state]
    return _child(options, "host", command, environment, f"http://127.0.0.1:{port}/healthz")


def _child(
    options: StackOptions, name: str, command: list[str], environment: dict[str, str], url: str
) -> Child:
    log = options.run_dir / "logs" / f"{name}.log"
    return Child(name, command, environment, url, log, hint=_SETUP)
