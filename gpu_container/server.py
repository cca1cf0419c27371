"""The HTTP service: it listens before its models are loaded, and reports its real state."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gpu_container.admission import MOST_WORKS
from gpu_container.auth import CallerGate
from gpu_container.door import Door, problem, stage_problem
from gpu_container.errors import StageError
from gpu_container.job_trace import JobTrace
from gpu_container.metrics import CONTENT_TYPE, MetricsPage
from gpu_container.settings import GpuSettings
from gpu_container.stage_call import StageCall
from gpu_container.stages import StageService
from gpu_container.worker import GpuWorker, ServiceState
from gpu_container.works import StageWork
from imagery import __version__
from imagery.contracts import (
    GpuHealth,
    GpuProgress,
    GpuQueue,
    GpuReport,
    GpuRequest,
    Stage,
)
from imagery.storage import BlobNameError, Storage
from imagery.telemetry.logs import get_logger, log_context

_log = get_logger(__name__)
_STOP_S = 2.0
# label of the metrics
_REPLICA = socket.gethostname()
_HEALTHY = {ServiceState.READY, ServiceState.BUSY}
_STAGES = (Stage.REMBG, Stage.REALESRGAN)
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"model": GpuProgress, "description": "The work goes on; repeat the request to join it."}
}
# after so long an expected end is known, and whoever would wait in vain is told at once
_LOOK_S = 0.5
_UNKNOWN_S = 3.0
_LEAST_RETRY_AFTER_S, _MOST_RETRY_AFTER_S = 1, 60


def create_app(settings: GpuSettings, storage: Storage) -> FastAPI:
    """The service over one worker; loading begins when the app starts."""
    worker = GpuWorker(settings)
    stages = StageService(worker, storage)
    worker.watch.on_lost(stages.admission.close)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        stages.admission.close()
        await asyncio.to_thread(worker.stop, _STOP_S)

    app = FastAPI(title="Imagery GPU service", version=__version__, lifespan=lifespan)
    app.state.stages, app.state.worker = stages, worker
    app.add_middleware(JobTrace)
    app.add_middleware(Door, gate=CallerGate(settings))
    _install_errors(app)

    page = _metrics_page(worker, stages)

    def health() -> GpuHealth:
        used_gb, peak_gb = worker.vram_gb()
        return GpuHealth(
            state=worker.state,
            stopping=stages.admission.closed,
            version=__version__,
            device=worker.device,
            replica=_REPLICA,
            models={stage.value: worker.problems.get(stage.value, "ok") for stage in _STAGES},
            queue=GpuQueue(running=stages.running, limit=MOST_WORKS, expected_s=stages.expected_s()),
            vram_used_gb=used_gb,
            vram_peak_gb=peak_gb,
        )

    async def run(stage: Stage, order: GpuRequest, call: StageCall) -> GpuReport | JSONResponse:
        with log_context(job_id=order.job_id, stage=stage.value, request_id=call.x_request_id):
            work = stages.submit(stage, order, time.monotonic() + call.left_s)
            if not await _ends(stages, work, call.wait_s):
                return _accepted(stages.progress_of(work), call.wait_s)
            stages.heard(work)
            return work.future.result().model_copy(update={"health": health()})

    @app.post("/v1/remove-background", responses=_ACCEPTED, response_model=GpuReport)
    async def remove_background(
        order: GpuRequest, call: Annotated[StageCall, Header()]
    ) -> GpuReport | JSONResponse:
        """Cut the subject of ``source`` out into ``target`` (PNG, RGBA, same size)."""
        return await run(Stage.REMBG, order, call)

    @app.post("/v1/upscale", responses=_ACCEPTED, response_model=GpuReport)
    async def upscale(order: GpuRequest, call: Annotated[StageCall, Header()]) -> GpuReport | JSONResponse:
        """Upscale ``source`` 4x into ``target`` (PNG, alpha kept)."""
        return await run(Stage.REALESRGAN, order, call)

    @app.get("/v1/jobs/{job_id}")
    async def progress(job_id: str) -> GpuProgress:
        """What this replica is doing for a job: its place in the queue, its tiles. 404: nothing."""
        found = stages.progress(job_id)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "This replica is doing nothing for this job.")
        return found

    @app.delete("/v1/jobs/{job_id}", status_code=204)
    async def cancel(job_id: str) -> None:
        """End what this replica is doing for a job, if anything."""
        stages.cancel(job_id)

    @app.get("/healthz")
    async def healthz(response: Response) -> GpuHealth:
        """Alive: 200, and 503 once the device is lost; ``state`` and ``models`` say more."""
        told = health()
        response.status_code = 503 if told.state == ServiceState.FAILED else 200
        return told

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, Any]:
        """Ready: 200 when both stages can work and the service is not stopping."""
        ready = worker.state in _HEALTHY and not stages.admission.closed
        response.status_code = 200 if ready else 503
        return {"ready": ready, "state": worker.state}

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text."""
        text = page.render(worker.device_name, worker.sensors.last)
        return Response(text, media_type=CONTENT_TYPE)

    return app


def _metrics_page(worker: GpuWorker, stages: StageService) -> MetricsPage:
    page = MetricsPage(worker.scheduler.metrics, _REPLICA)
    page.memory(worker.memory)
    page.number("gpu_requests_running", "Requests that are worked on.", lambda: stages.running)
    page.number("gpu_queue_seconds", "Seconds until all of them will have ended.", stages.expected_s)
    page.number("gpu_tiles_computed", "Tiles that the device has computed.", lambda: worker.scheduler.tiles)
    page.number("gpu_device_lost", "1 once the device has failed.", lambda: worker.watch.lost is not None)
    return page


async def _ends(stages: StageService, work: StageWork, wait_s: float | None) -> bool:
    """Wait for the end of a work, ``wait_s`` seconds if that is enough; None: as long as it takes."""
    # only waited for: the work goes on for the caller's next try when this connection is gone
    end = asyncio.wrap_future(work.future)
    end.add_done_callback(lambda ended: ended.exception())
    if wait_s is None:
        await asyncio.wait([end])
        return True
    first_s = min(wait_s, _LOOK_S)
    if not (await asyncio.wait([end], timeout=first_s))[0]:
        rest_s = wait_s - first_s
        expected_s = stages.progress_of(work).expected_s
        if rest_s > 0 and expected_s is not None and expected_s <= rest_s:
            await asyncio.wait([end], timeout=rest_s)
    return work.future.done()


def _accepted(progress: GpuProgress, wait_s: float | None) -> JSONResponse:
    expected_s = math.ceil(_UNKNOWN_S if progress.expected_s is None else progress.expected_s)
    headers = {
        "Retry-After": str(min(max(expected_s, _LEAST_RETRY_AFTER_S), _MOST_RETRY_AFTER_S)),
        "Preference-Applied": f"wait={wait_s:g}",
    }
    return JSONResponse(progress.to_json(), HTTPStatus.ACCEPTED, headers)


def _install_errors(app: FastAPI) -> None:
    @app.exception_handler(StageError)
    async def stage_error(_: Request, error: StageError) -> JSONResponse:
        return stage_problem(error)

    @app.exception_handler(BlobNameError)
    async def bad_name(_: Request, error: BlobNameError) -> JSONResponse:
        return problem(400, "bad_request", f"The blob name is not accepted: {error}.")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        fields = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        return problem(400, "bad_request", fields)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        return problem(error.status_code, code, str(error.detail))

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:
        _log.error("internal_error", exc_info=error)
        return problem(500, "internal_error", "The stage failed unexpectedly.")
