"""What the two GPU stages share: the call, and what each of its errors means for the job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from activities.reuse import keep, reuse
from activities.stage import circuit_open, failed, rejected, retry_later, succeeded, transient
from imagery.backoff import wait_s
from imagery.contracts import GpuReport, GpuRequest, Stage, StageInput, StageOutcome, stage_output
from imagery.database.circuits import Call, CircuitOpenError, Dependency
from imagery.database.stages import Begun
from imagery.gpu_client import GpuBusy, GpuError, GpuNoReplica, GpuRefused
from imagery.retry import RetryRules
from imagery.services import Services

GpuCall = Callable[[GpuRequest, datetime], GpuReport]
_LEASE_MARGIN_S = 15.0


def run_gpu_stage(
    services: Services, order: StageInput, begun: Begun, source: Stage, call: GpuCall
) -> StageOutcome:
    """Let the GPU service work from the output of ``source`` to the output of this stage."""
    reused = reuse(services, order, begun)
    if reused is not None:
        return reused
    request = GpuRequest(
        job_id=order.job_id,
        source=stage_output(order.job_id, source),
        target=stage_output(order.job_id, order.stage),
    )
    lease_s = services.settings.gpu.retry.timeout_s + _LEASE_MARGIN_S
    try:
        with services.circuits.call(Dependency.GPU, lease_s=lease_s, seed=order.job_id) as circuit:
            outcome = _work(services, order, begun, circuit, lambda: call(request, order.deadline))
    except CircuitOpenError as error:
        return circuit_open(services, order, error)
    if outcome.output is not None:
        keep(services, order, begun)
    return outcome


def _work(
    services: Services, order: StageInput, begun: Begun, circuit: Call, send: Callable[[], GpuReport]
) -> StageOutcome:
    try:
        report = send()
    except GpuError as error:
        if error.is_outage:
            circuit.failed(error.code)
        else:
            circuit.answered()
        return _failed(services, order, begun, error)
    circuit.answered()
    target = stage_output(order.job_id, order.stage)
    services.stages.succeed(
        order.job_id,
        order.stage,
        target,
        "image/png",
        vram_used_gb=report.vram_used_gb,
        duration_ms=None if report.reused else report.duration_ms,
    )
    return succeeded(order.stage, target)


def _failed(services: Services, order: StageInput, begun: Begun, error: GpuError) -> StageOutcome:
    if isinstance(error, GpuBusy):
        return retry_later(services, order, error.code, error.message, error.retry_after_s)
    if isinstance(error, GpuNoReplica):
        # nothing failed, there is nobody (yet): that is waited for, not counted as an attempt
        policy = RetryRules.of(services.settings).gpu_replica
        wait = wait_s(policy, begun.attempt, order.job_id)
        return retry_later(services, order, error.code, error.message, wait)
    if isinstance(error, GpuRefused):
        return rejected(services, order, error.code, error.message)
    if error.retryable:
        raise transient(services, order, error.code, error.message) from error
    return failed(services, order, error.code, error.message)
