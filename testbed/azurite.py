"""A real Azurite for tests, on free ports."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.ports import any_free

# the development account that every Azurite has; public, no secret
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_START_LIMIT_S = 30.0


@dataclass
class Azurite:
    """A running Azurite."""

    process: subprocess.Popen[bytes]
    blob_port: int

    @property
    def connection_string(self) -> str:
        """For the Azure SDK."""
        endpoint = f"http://127.0.0.1:{self.blob_port}/{ACCOUNT}"
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
        )

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def _binary() -> Path:
    default = Path(__file__).parent.parent / "local/azurite/node_modules/.bin/azurite"
    binary = Path(os.environ.get("AZURITE_BIN", default))
    if not binary.exists():
        raise FileNotFoundError(f"Azurite is not installed at {binary}: run 'make setup'")
    return binary


def start_azurite(directory: Path) -> Azurite:
    """Start it with its data and its log in ``directory`` and wait until it answers.

    Raises ``FileNotFoundError`` where it is not installed and ``RuntimeError`` where it does not start.
    """
    ports: dict[str, int] = {}
    command = [str(_binary()), "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    command += ["--location", str(directory)]
    for service in ("blob", "queue", "table"):
        ports[service] = any_free(set(ports.values()))
        command += [f"--{service}Port", str(ports[service])]
    log = directory / "azurite.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    until = time.monotonic() + _START_LIMIT_S
    with httpx.Client(timeout=1, trust_env=False) as client:
        while time.monotonic() < until and process.poll() is None:
            try:
                client.get(f"http://127.0.0.1:{ports['blob']}/")
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return Azurite(process, ports["blob"])
    process.kill()
    process.wait()
    raise RuntimeError(f"Azurite did not start:\n{log.read_text()[-2000:]}")
