"""A real Azurite for tests, on free ports."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from testbed.ports import free_port
from testbed.supervised import keep, release

# the development account that every Azurite has; public, no secret
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_START_LIMIT_S = 60.0


@dataclass
class Azurite:
    """A running Azurite, with its data and its log in ``directory``."""

    directory: Path
    command: list[str]
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None

    name = "Azurite"
    mark = "azurite"

    @property
    def log(self) -> Path:
        return self.directory / "azurite.log"

    @property
    def blob_port(self) -> int:
        return self.ports["blob"]

    @property
    def connection_string(self) -> str:
        """For the Azure SDK: blobs, queues and tables."""
        endpoints = "".join(
            f"{service.capitalize()}Endpoint=http://127.0.0.1:{port}/{ACCOUNT};"
            for service, port in self.ports.items()
        )
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{endpoints}"

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it and wait until it responds. Raises ``RuntimeError`` if it does not."""
        keep(self)
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        until = time.monotonic() + _START_LIMIT_S
        with httpx.Client(timeout=1, trust_env=False) as client:
            while time.monotonic() < until and self.is_alive():
                try:
                    client.get(f"http://127.0.0.1:{self.blob_port}/")
                except httpx.TransportError:
                    time.sleep(0.1)
                else:
                    return
        self.stop()
        raise RuntimeError(f"Azurite did not start:\n{self.log.read_text()[-2000:]}")

    revive = start

    def stop(self) -> None:
        """End it."""
        release(self)
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _binary() -> Path:
    default = Path(__file__).parent.parent / "local/azurite/node_modules/.bin/azurite"
    binary = Path(os.environ.get("AZURITE_BIN", default))
    if not binary.exists():
        raise FileNotFoundError(f"Azurite is not installed at {binary}: run 'make setup'")
    return binary


def start_azurite(directory: Path, *, logs_requests: bool = False) -> Azurite:
    """Start it with its data and its log in ``directory`` and wait until it responds.

    Raises ``FileNotFoundError`` where it is not installed and ``RuntimeError`` where it does not start.
    """
    command = [str(_binary()), "--skipApiVersionCheck", "--disableTelemetry"]
    command += ["--location", str(directory), *([] if logs_requests else ["--silent"])]
    ports = {service: free_port() for service in ("blob", "queue", "table")}
    for service, port in ports.items():
        command += [f"--{service}Port", str(port)]
    server = Azurite(directory, command, ports)
    server.start()
    return server
