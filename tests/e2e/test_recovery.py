"""Processes die at the worst moments; nothing is lost, and nothing is paid twice."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.ports import free_port
from testbed.stack import PHOTO, Stack
from tests.e2e.test_pipeline import job_of, upload

# what dies and comes back is the same with either storage


def wait_for_stage(stack: Stack, job_id: str, stage: str, limit_s: float = 30) -> None:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        status = stack.status(job_id)
        if status["stage"] == stage and status["state"] == "RUNNING":
            return
        time.sleep(0.05)
    raise AssertionError(f"the job never reached {stage}: {status}")


def test_a_host_killed_in_a_gpu_stage_goes_on_and_pays_once(stack: Stack) -> None:
    # large, so that the stage takes a while
    job_id = stack.submit(PHOTO.read_bytes())
    wait_for_stage(stack, job_id, "realesrgan")
    stack.host.stop(signal.SIGKILL)
    stack.host.restart()
    status = stack.wait_for_end(job_id)
    assert status["state"] == "COMPLETED", status
    bill = stack.bill(job_id)
    assert (bill["calls"], bill["billed"], status["cost_usd"]) == (1, 1, 0.08)


# every other point is struck by make drill NAME=faults
def test_a_host_killed_before_a_result_is_recorded_pays_once(
    stack: Stack, photo: bytes, tmp_path: Path
) -> None:
    fault = {"point": "after_activity", "name": "place", "at": 1, "action": "kill"}
    (tmp_path / "faults.json").write_text(json.dumps([fault]))
    (stack.folder / "host/faults-fired.json").unlink(missing_ok=True)
    stack.host.restart(HOST_FAULTS_FILE=str(tmp_path / "faults.json"))
    job_id = stack.submit(photo)
    assert stack.host.process is not None
    assert stack.host.process.wait(60) == 137
    stack.host.restart()
    status = stack.wait_for_end(job_id)
    assert status["state"] == "COMPLETED", status
    bill = stack.bill(job_id)
    assert (bill["calls"], bill["billed"], status["cost_usd"]) == (1, 1, 0.08)


def test_a_job_waits_for_a_gpu_service_that_is_gone_and_goes_on_by_itself(stack: Stack, photo: bytes) -> None:
    stack.gpu.stop(signal.SIGKILL)
    job_id = stack.submit(photo)
    waiting = wait_until(lambda: circuit_of(stack, "gpu")["state"] == "open")
    assert waiting, "so many failures in a row open the circuit"
    status = stack.status(job_id)
    assert (status["state"], status["stage"]) == ("RUNNING", "rembg")
    assert status["stages"][1]["error"]["code"] == "gpu_starting"
    # the look that all callers share may be a moment older than the circuit
    assert wait_until(lambda: stack.client.get("/healthz").json()["status"] == "degraded")
    assert "circuit" in stack.client.get("/healthz").json()["dependencies"]["gpu"]["reason"]
    assert 'circuit_breaker_state{dependency="gpu"} 0.0' not in stack.client.get("/api/v1/metrics").text
    stack.gpu.start()
    stack.gpu.wait_ready()
    status = stack.wait_for_end(job_id)
    assert (status["state"], status["run"]) == ("COMPLETED", 1), status
    assert stack.bill(job_id)["billed"] == 1
    assert circuit_of(stack, "gpu")["state"] == "closed"


def test_a_job_that_waits_in_vain_fails_at_its_deadline_before_it_costs(stack: Stack, photo: bytes) -> None:
    stack.host.restart(JOB_DEADLINE_S="6", GPU_SERVICE_URL=f"http://127.0.0.1:{free_port()}")
    job_id = stack.submit(photo)
    status = stack.wait_for_end(job_id)
    assert (status["state"], status["stage"]) == ("FAILED", "rembg"), status
    assert status["error"]["code"] == "deadline_exceeded"
    assert "GPU service" in status["error"]["message"] or "gpu" in status["error"]["message"]
    assert stack.bill(job_id)["calls"] == 0
    stack.host.restart()
    assert stack.client.post(f"/api/v1/jobs/{job_id}/retry").status_code == 202
    status = stack.wait_for_end(job_id)
    assert (status["state"], status["stages"][0]["attempt"]) == ("COMPLETED", 1), status
    assert stack.bill(job_id)["billed"] == 1


def circuit_of(stack: Stack, dependency: str) -> dict[str, Any]:
    circuits = stack.client.get("/api/v1/circuit-breakers").json()
    return next(circuit for circuit in circuits if circuit["dependency"] == dependency)


def wait_until(is_so: Callable[[], bool], limit_s: float = 30) -> bool:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if is_so():
            return True
        time.sleep(0.1)
    return False


def test_an_event_that_is_delivered_again_is_the_same_job(stack: Stack, photo: bytes) -> None:
    name = f"{uuid.uuid4()}.jpg"
    upload(stack, name, photo)
    job_id = str(job_of(stack, name)["job_id"])
    stack.wait_for_end(job_id)
    stack.host.stop()
    receipts = sqlite3.connect(stack.folder / "host/blob-receipts.db")
    deleted = receipts.execute("DELETE FROM receipt WHERE name=?", (name,)).rowcount
    receipts.commit()
    receipts.close()
    assert deleted == 1
    stack.host.restart()
    until = time.monotonic() + 10
    while not _known_again(stack, job_id) and time.monotonic() < until:
        time.sleep(0.2)
    assert _known_again(stack, job_id)
    assert job_of(stack, name)["job_id"] == job_id
    assert stack.bill(job_id)["calls"] == 1


def _known_again(stack: Stack, job_id: str) -> bool:
    lines = stack.host.log.read_text().splitlines()
    return any(job_id in line and "upload_known" in line for line in lines)


def test_a_host_killed_in_the_paid_call_never_pays_twice(stack: Stack, photo: bytes) -> None:
    stack.faults("timeout_after_billing")
    job_id = stack.submit(photo)
    wait_for_stage(stack, job_id, "nano_banana")
    until = time.monotonic() + 10
    while stack.bill(job_id)["billed"] == 0 and time.monotonic() < until:
        time.sleep(0.02)
    stack.host.stop(signal.SIGKILL)
    stack.host.restart()
    status: dict[str, Any] = stack.wait_for_end(job_id)
    assert (status["state"], status["error"]["code"]) == ("FAILED", "payment_unknown"), status
    bill = stack.bill(job_id)
    assert (bill["calls"], bill["billed"]) == (1, 1)
