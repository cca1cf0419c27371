"""What the two GPU stages share: the call, and what each of its errors means for the job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from activities.attempt import Attempt
from imagery.backoff import wait_s
from imagery.contracts import GpuReport, GpuRequest, GpuTicket, Stage, StageResult
from imagery.database.breakers import CircuitCall
from imagery.database.circuits import Circuit, CircuitOpenError, CircuitState, GuardedDependency
from imagery.gpu_client import (
    GpuBusyError,
    GpuError,
    GpuNoReplicaError,
    GpuRejectedError,
    GpuWorkingError,
    longest_call_s,
)
from imagery.providers.errors import OUT_OF_SERVICE, NanoBananaError, OutOfServiceError
from imagery.retry import RetryRules
from imagery.services import PaidRoute
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)
GpuCall = Callable[[GpuRequest, datetime, GpuTicket | None], GpuReport]
_LEASE_MARGIN_S = 15.0
_LOOK_AGAIN_S = 20.0
_STARTING = "gpu_starting"


def work_on_gpu(attempt: Attempt, source: Stage, call: GpuCall) -> StageResult:
    """Let the GPU service work from the output of ``source`` to the output of this stage."""
    reused = attempt.reuse()
    if reused is not None:
        return reused
    in_vain = _in_vain(attempt) if attempt.options.output.has_scene else None
    if in_vain is not None:
        return in_vain
    circuits = attempt.services.circuits
    lease_s = longest_call_s(attempt.services.settings) + _LEASE_MARGIN_S
    try:
        with circuits.call(GuardedDependency.GPU, lease_s=lease_s, seed=attempt.job_id) as circuit:
            outcome = _send(attempt, source, call, circuit)
    except CircuitOpenError as error:
        return _turned_away(attempt, error)
    if outcome.output is not None:
        attempt.keep()
    return outcome


def _turned_away(attempt: Attempt, error: CircuitOpenError) -> StageResult:
    """Wait while another job's call finds out whether the service is there; a start is no failure."""
    code, message = error.code, str(error)
    if error.last_error == _STARTING:
        code, message = _STARTING, "The GPU service is starting, or is away; one call at a time looks for it."
    return attempt.later(code, message, error.wait_s, tried=False)


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
        report = call(request, attempt.order.deadline, attempt.begun.ticket)
    except GpuNoReplicaError as error:
        # nothing failed: the job waits, this was no attempt, and the others need not hold calls open too
        policy = RetryRules.of(attempt.services.settings).gpu_replica
        after_s = wait_s(policy, attempt.order.waits + 1, attempt.job_id)
        return attempt.later(error.code, error.message, circuit.hold(error.code, after_s), tried=False)
    except GpuError as error:
        if error.is_outage:
            circuit.failed(error.code)
        else:
            circuit.answered()
        return _failed(attempt, error)
    circuit.answered()
    _keep_answer(attempt, report)
    return attempt.succeed(
        vram_used_gb=report.vram_used_gb,
        duration_ms=None if report.reused else report.duration_ms,
        waited_ms=report.waited_ms,
        work_id=report.work_id,
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
    if isinstance(error, GpuWorkingError):
        return attempt.goes_on(error.code, error.message, error.ticket, error.retry_after_s)
    if isinstance(error, GpuBusyError):
        return attempt.later(error.code, error.message, error.retry_after_s, tried=False)
    if isinstance(error, GpuRejectedError):
        return attempt.reject(error.code, error.message)
    if error.retryable:
        raise attempt.transient(error.code, error.message) from error
    return attempt.fail(error.code, error.message)
