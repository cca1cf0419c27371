"""What the two GPU stages share: the call, and what each of its errors means for the job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from activities.attempt import Attempt
from imagery.backoff import wait_s
from imagery.contracts import GpuReport, GpuRequest, Stage, StageResult
from imagery.database.breakers import CircuitCall
from imagery.database.circuits import Circuit, CircuitOpenError, CircuitState, GuardedDependency
from imagery.gpu_client import GpuBusyError, GpuError, GpuNoReplicaError, GpuRejectedError
from imagery.providers.errors import OUT_OF_SERVICE, NanoBananaError, OutOfServiceError
from imagery.retry import RetryRules
from imagery.services import PaidRoute
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
GpuCall = Callable[[GpuRequest, datetime], GpuReport]
_LEASE_MARGIN_S = 15.0
_LOOK_AGAIN_S = 20.0


def work_on_gpu(attempt: Attempt, source: Stage, call: GpuCall) -> StageResult:
    """Let the GPU service work from the output of ``source`` to the output of this stage."""
    reused = attempt.reuse()
    if reused is not None:
        return reused
    in_vain = _in_vain(attempt)
    if in_vain is not None:
        return in_vain
    circuits = attempt.services.circuits
    lease_s = attempt.services.settings.gpu.retry.timeout_s + _LEASE_MARGIN_S
    try:
        with circuits.call(GuardedDependency.GPU, lease_s=lease_s, seed=attempt.job_id) as circuit:
            outcome = _send(attempt, source, call, circuit)
    except CircuitOpenError as error:
        return attempt.circuit_open(error)
    if outcome.output is not None:
        attempt.keep()
    return outcome


def _in_vain(attempt: Attempt) -> StageResult | None:
    """Wait while no paid call of anybody can succeed: no GPU time for a picture that can't be placed.

    Whoever is let through asks the providers something that is free. One that is left is enough.
    """
    circuits, routes = attempt.services.circuits, attempt.services.paid_routes
    if not all(_is_out_of_service(circuits.recent(route.dependency)) for route in routes):
        return None
    troubles: list[CircuitOpenError | NanoBananaError] = []
    for route in routes:
        trouble = _look(attempt, route)
        if trouble is None:
            return None
        troubles.append(trouble)
    return _wait_for(attempt, min(troubles, key=_wait_s))


def _is_out_of_service(circuit: Circuit) -> bool:
    return circuit.state is not CircuitState.CLOSED and circuit.last_error in OUT_OF_SERVICE


def _look(attempt: Attempt, route: PaidRoute) -> CircuitOpenError | NanoBananaError | None:
    """Why the provider can't be called. Returns None if it can."""
    circuits = attempt.services.circuits
    try:
        with circuits.call(route.dependency, lease_s=_LEASE_MARGIN_S, seed=attempt.job_id) as circuit:
            try:
                route.provider.look()
            except OutOfServiceError as error:
                circuit.hold(error.code)
                return error
            except NanoBananaError as error:
                circuit.failed(error.code)
                return error
            circuit.answered()
    except CircuitOpenError as error:
        return error
    return None


def _wait_s(trouble: CircuitOpenError | NanoBananaError) -> float:
    return trouble.wait_s if isinstance(trouble, CircuitOpenError) else _LOOK_AGAIN_S


def _wait_for(attempt: Attempt, trouble: CircuitOpenError | NanoBananaError) -> StageResult:
    if isinstance(trouble, CircuitOpenError):
        return attempt.circuit_open(trouble)
    return attempt.later(trouble.code, trouble.message, _LOOK_AGAIN_S)


def _send(attempt: Attempt, source: Stage, call: GpuCall, circuit: CircuitCall) -> StageResult:
    request = GpuRequest(job_id=attempt.job_id, source=attempt.output_of(source), target=attempt.target)
    try:
        report = call(request, attempt.order.deadline)
    except GpuError as error:
        if error.is_outage:
            circuit.failed(error.code)
        else:
            circuit.answered()
        return _failed(attempt, error)
    circuit.answered()
    _keep_answer(attempt, report)
    return attempt.succeed(
        vram_used_gb=report.vram_used_gb, duration_ms=None if report.reused else report.duration_ms
    )


def _keep_answer(attempt: Attempt, report: GpuReport) -> None:
    """Keep what the service said of itself: nobody else asks it. The job does not depend on that."""
    if report.health is None:
        return
    try:
        attempt.services.gpu_answers.keep(report.health)
    except Exception as error:
        _log.warning("gpu_answer_not_kept", error=str(error))


def _failed(attempt: Attempt, error: GpuError) -> StageResult:
    if isinstance(error, GpuBusyError):
        return attempt.later(error.code, error.message, error.retry_after_s)
    if isinstance(error, GpuNoReplicaError):
        # nothing failed, no replica is up yet: the job waits, and this attempt does not count against it
        policy = RetryRules.of(attempt.services.settings).gpu_replica
        return attempt.later(error.code, error.message, wait_s(policy, attempt.begun.attempt, attempt.job_id))
    if isinstance(error, GpuRejectedError):
        return attempt.reject(error.code, error.message)
    if error.retryable:
        raise attempt.transient(error.code, error.message) from error
    return attempt.fail(error.code, error.message)
