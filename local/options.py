"""The options of the stack: command line first, then environment, then defaults."""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from local.ports import PortWish

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "local/samples/coffee.jpg"
_ENVIRONMENTS = ("DEV", "PROD")
_PORTS = {
    "PORT": (7071, "host"),
    "GPU_PORT": (8081, "GPU service"),
    "NANO_BANANA_PORT": (8090, "Nano Banana simulator"),
    "AZURITE_BLOB_PORT": (10000, "Azurite, blobs"),
    "AZURITE_QUEUE_PORT": (10001, "Azurite, queues"),
    "AZURITE_TABLE_PORT": (10002, "Azurite, tables"),
}


@dataclass(frozen=True)
class StackOptions:
    """What the user chose."""

    image: Path
    once: bool
    sample: bool
    host: str
    storage: str
    run_dir: Path
    start_limit_s: float
    job_limit_s: float
    ports: dict[str, PortWish]
    environment: dict[str, str]


def parse(arguments: list[str]) -> StackOptions:
    """Read the command line and the environment. Exits with code 2 and a message if they are wrong."""
    environment = dict(os.environ)
    parser = argparse.ArgumentParser(
        prog="python -m local.stack",
        description="Start the whole pipeline on this machine and run one picture through it.",
    )
    parser.add_argument("--once", action="store_true", help="end after that picture: 0 when it completed")
    parser.add_argument("--no-sample", action="store_true", help="only serve")
    parser.add_argument("--image", type=Path, help="your own picture instead of the sample")
    parser.add_argument(
        "--host",
        choices=["local", "func", "auto"],
        default="local",
        help="local: the host of this project; func: Core Tools; auto: Core Tools where installed",
    )
    parser.add_argument("--storage", choices=["azurite", "local"], default="azurite")
    parser.add_argument("--run-dir", type=Path, default=Path(".run"), help="state, logs and results")
    parser.add_argument("--start-limit-s", type=float, default=180.0, help="time each piece has to start")
    parser.add_argument("--job-limit-s", type=float, default=1800.0, help="time the picture has")
    for name, (number, what) in _PORTS.items():
        option = f"--{name.lower().replace('_', '-')}"
        parser.add_argument(option, type=int, help=f"port of {what} (default {number})")
    given = parser.parse_args(arguments)
    ports = {name: _port(parser, name, getattr(given, name.lower()), environment) for name in _PORTS}
    env = environment.get("ENV") or _ENVIRONMENTS[0]
    if env not in _ENVIRONMENTS:
        parser.error(f"ENV is {env!r}: it must be DEV or PROD")
    if env == "PROD" and given.storage == "local":
        parser.error("ENV=PROD stores in Azure Blob Storage: use STORAGE=azurite, or ENV=DEV")
    return StackOptions(
        image=(given.image or SAMPLE).expanduser().resolve(),
        once=given.once,
        sample=not given.no_sample,
        host=_host(given.host),
        storage=given.storage,
        run_dir=given.run_dir.resolve(),
        start_limit_s=given.start_limit_s,
        job_limit_s=given.job_limit_s,
        ports=ports,
        environment=environment,
    )


def _port(
    parser: argparse.ArgumentParser, name: str, option: int | None, environment: dict[str, str]
) -> PortWish:
    wish = str(option) if option is not None else environment.get(name)
    if not wish:
        return PortWish(name, _PORTS[name][0], explicit=False)
    if not wish.isdecimal():
        parser.error(f"{name}={wish} is not a port")
    return PortWish(name, int(wish), explicit=True)


def _host(asked: str) -> str:
    if asked == "auto":
        return "func" if shutil.which("func") else "local"
    return asked
