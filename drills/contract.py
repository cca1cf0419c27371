"""``make drill NAME=contract``: schemathesis, with all its checks, against the running stack's OpenAPI."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from testbed.stack import PHOTO, ROOT, Stack

CONFIG = ROOT / "drills/schemathesis.toml"
_KNOWN = {
    "/api/v1/status/{job_id}": "job_id",
    "/api/v1/jobs/{job_id}/cancel": "job_id",
    "/api/v1/jobs/{job_id}/retry": "job_id",
    "/api/v1/jobs/{job_id}/spend/resolve": "job_id",
    "/api/v1/jobs/{job_id}/images/{stage}": "job_id",
    "/api/v1/batches/{batch_id}": "batch_id",
}
_LONGEST_S = 1500


def environment(folder: Path) -> dict[str, str]:
    """Files and SQLite; waits are short, because every call is made thousands of times."""
    return {
        "ENV": "DEV",
        "AzureWebJobsStorage": "",
        "LOCAL_STORAGE_PATH": str(folder / "store"),
        "LONG_POLL": "logs_s=0.05 status_s=0.05",
        "QUOTA": "concurrent_jobs=1000000",
    }


def with_known_ids(stack: Stack, folder: Path) -> Path:
    """Settings that name a job and a batch which exist: what random ids never reach."""
    # the first run may have opened them by hand
    for circuit in stack.client.get("/api/v1/circuit-breakers").json():
        path = f"/api/v1/circuit-breakers/{circuit['dependency']}"
        stack.client.post(path, json={"state": "closed"}).raise_for_status()
    photo = PHOTO.read_bytes()
    job_id = stack.submit(photo)
    stack.wait_for_end(job_id)
    store = folder / "store/uploads/contract"
    store.mkdir(parents=True)
    (store / "photo.jpg").write_bytes(photo)
    items = [{"blob": "uploads/contract/photo.jpg", "prompt": "on a shelf"}]
    batch_id = stack.client.post("/api/v1/batches", json={"items": items}).json()["batch_id"]
    ids = {"job_id": job_id, "batch_id": batch_id}
    parts = [CONFIG.read_text()]
    for path, name in _KNOWN.items():
        parts.append(
            f'[[operations]]\ninclude-path = "{path}"\nparameters = {{ "path.{name}" = "{ids[name]}" }}\n'
        )
    config = folder / "known.toml"
    config.write_text("\n".join(parts))
    return config


def run(stack: Stack, config: Path, *options: str) -> int:
    """One run against ``stack``: schemathesis' exit code."""
    binary = Path(sys.executable).with_name("schemathesis")
    command = [str(binary), "--config-file", str(config), "run", f"{stack.client.base_url}/openapi.json"]
    command += ["--header", f"X-API-Key:{stack.client.headers['X-API-Key']}", "--checks", "all", *options]
    return subprocess.run(command, cwd=stack.folder, timeout=_LONGEST_S, check=False).returncode


def main(arguments: list[str]) -> int:
    """Start a stack, test it, stop it."""
    parser = argparse.ArgumentParser(prog="python -m drills contract", description=__doc__)
    parser.add_argument("--max-examples", type=int, default=150, help="cases a route and phase (150)")
    parser.add_argument("--seed", type=int, default=1)
    chosen, more = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        stack = Stack(Path(name), environment(Path(name)))
        try:
            stack.start()
            options = ("--max-examples", str(chosen.max_examples), "--seed", str(chosen.seed), *more)
            codes = [run(stack, CONFIG, *options), run(stack, with_known_ids(stack, Path(name)), *options)]
            return max(codes)
        finally:
            stack.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
