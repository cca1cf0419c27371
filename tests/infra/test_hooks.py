"""The hooks that azd runs, with stand-ins for the programs they call."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from testbed.clients import local_client
from testbed.ports import free_port
from testbed.stack import ROOT


@pytest.mark.parametrize(("failures", "returncode", "calls"), [(0, 0, 1), (3, 0, 4), (99, 1, 10)])
def test_what_is_not_ready_is_repeated_ten_times_and_then_fails(
    tmp_path: Path, failures: int, returncode: int, calls: int
) -> None:
    log = tmp_path / "calls"
    program = f'#!/bin/sh\necho >> "{log}"\n[ "$(wc -l < "{log}")" -gt {failures} ]\n'
    for name, text in {"az": program, "sleep": f'#!/bin/sh\necho "$1" >> "{tmp_path}/slept"\n'}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    command = ["sh", "-euc", ". infra/hooks/again.sh; again az"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PATH": path}, check=False)
    assert done.returncode == returncode
    assert len(log.read_text().splitlines()) == calls
    slept = (tmp_path / "slept").read_text().split() if calls > 1 else []
    assert slept == ["15"] * (calls - 1)


def test_before_there_is_an_image_a_placeholder_answers_the_probes_of_the_gpu_app() -> None:
    port = free_port()
    environment = os.environ | {"GPU_PORT": str(port)}
    process = subprocess.Popen(["sh", "infra/gpu-start.sh"], cwd=ROOT, env=environment)
    try:
        with local_client(port, timeout_s=5) as client:
            until = time.monotonic() + 20
            found: list[int] = []
            while not found and time.monotonic() < until:
                with suppress(httpx.TransportError):
                    found = [client.get(path).status_code for path in ("/healthz", "/readyz")]
                time.sleep(0.05)
        assert found == [200, 200]
    finally:
        process.kill()
        process.wait()


def test_then_it_starts_what_the_image_starts() -> None:
    image = (ROOT / "gpu_container/Dockerfile").read_text()
    script = (ROOT / "infra/gpu-start.sh").read_text()
    assert image.rstrip().endswith('CMD ["python", "-m", "gpu_container"]')
    assert "cd /app\n    exec python -m gpu_container\n" in script
    assert "WORKDIR /app\nCOPY imagery imagery\nCOPY gpu_container gpu_container\n" in image
