"""The spans of a job: which there are, what they hang from, and how failures show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.attempt import TransientStageError
from activities.finish_job import finish_job
from activities.place import place
from gpu_container.job_trace import JobTrace
from imagery.contracts import (
    UPLOADS,
    BlobRef,
    FinishInput,
    GpuRequest,
    JobRequest,
    JobState,
    Stage,
    stage_output,
)
from imagery.database.tables import utc_now
from imagery.environment import read
from imagery.gpu_client import GpuClient, GpuError
from imagery.services import Services
from imagery.settings import Settings
from imagery.telemetry import tracing
from imagery.telemetry.logs import get_logger
from imagery.telemetry.tracing import SpanRecord, SpanType, run_span_id, start_span_id, trace_id_of
from testbed.servers import Server
from testbed.services import services, simulator
from tests.activities.test_place import make_job, message

__all__ = ["services", "simulator"]
JOB = "7b0f1f9e-0d1f-4a7e-9a51-6c27b8c51d2a"


class Spans:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.records: list[SpanRecord] = []

    def span(self, record: SpanRecord) -> None:
        self.records.append(record)

    def wait(self, count: int, limit_s: float = 5) -> list[SpanRecord]:
        """The spans by their start: a server's is recorded after its answer has gone out."""
        until = time.monotonic() + limit_s
        while len(self.records) < count and time.monotonic() < until:
            time.sleep(0.01)
        assert len(self.records) == count
        return sorted(self.records, key=lambda record: record.started_ns)

    def named(self, name: str) -> list[SpanRecord]:
        return [record for record in self.records if record.name == name]


@pytest.fixture
def spans() -> Iterator[Spans]:
    kept = Spans()
    tracing.use(kept)
    yield kept
    tracing.use(None)


@pytest.fixture
def gpu() -> Iterator[Server]:
    """What is in front of the stages: the headers that come in, and ``status`` as the answer."""

    async def answer(request: Request) -> Response:
        app.state.headers = dict(request.headers)
        get_logger("gpu").info("worked")
        problem = {"title": "Busy", "status": 429, "detail": "later", "code": "gpu_busy"}
        return JSONResponse(problem, 429, media_type="application/problem+json")

    app = Starlette(routes=[Route("/v1/upscale", answer, methods=["POST"])])
    app.add_middleware(JobTrace)
    server = Server(app)
    server.app = app  # type: ignore[attr-defined]
    yield server
    server.stop()


def upscale(gpu: Server) -> None:
    client = GpuClient(read(Settings, {"GPU_SERVICE_URL": gpu.url}))
    request = GpuRequest(
        job_id=JOB, source=stage_output(JOB, Stage.REMBG), target=stage_output(JOB, Stage.REALESRGAN)
    )
    with pytest.raises(GpuError):
        client.upscale(request, utc_now() + timedelta(minutes=1))


def test_each_attempt_of_the_paid_stage_is_a_span_and_a_failed_one_says_why(
    services: Services, simulator: Server, spans: Spans
) -> None:
    job_id = make_job(services)
    simulator.client.post("/_simulator/faults", json={"next": ["503"]})
    with pytest.raises(TransientStageError):
        place(message(job_id))
    assert place(message(job_id))["outcome"] == "succeeded"
    first, second = spans.named("nano_banana")
    assert (first.succeeded, second.succeeded) == (False, True)
    assert {first.parent_id, second.parent_id} == {run_span_id(job_id, 1)}
    assert (first.attributes["attempt"], second.attributes["attempt"]) == (1, 2)
    calls = spans.named("generateContent")
    assert [call.parent_id for call in calls] == [first.span_id, second.span_id]
    assert [call.attributes["http.status_code"] for call in calls] == [503, 200]
    assert calls[0].attributes["error_code"] == "nano_banana_unavailable"
    assert {record.trace_id for record in spans.records} == {trace_id_of(job_id)}


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED])
def test_a_run_is_one_span_from_its_beginning_to_its_end(
    services: Services, spans: Spans, state: JobState
) -> None:
    job_id = make_job(services)
    finish_job(FinishInput(job_id=job_id, run=1, state=state, stage=Stage.REMBG).to_json())
    (run,) = spans.named("image_pipeline")
    job = services.jobs.get(job_id)
    assert job is not None and job.finished_at is not None
    assert (run.span_id, run.parent_id) == (run_span_id(job_id, 1), start_span_id(job_id, 1))
    assert run.succeeded is (state is JobState.COMPLETED)
    assert run.attributes["state"] == state
    assert run.started_ns == int(job.created_at.timestamp() * 1e9)
    assert spans.named("finish_job")[0].parent_id == run.span_id


def test_a_retried_job_has_another_run_in_the_same_trace(services: Services, spans: Spans) -> None:
    job_id = make_job(services)
    finish_job(FinishInput(job_id=job_id, run=1, state=JobState.FAILED, stage=Stage.REMBG).to_json())
    begun = utc_now()
    services.jobs.begin_run(
        job_id, instance_id=f"{job_id}-2", run=2, deadline=begun + services.settings.job_deadline
    )
    finish_job(FinishInput(job_id=job_id, run=2, state=JobState.COMPLETED).to_json())
    first, second = spans.named("image_pipeline")
    assert first.trace_id == second.trace_id
    assert (second.span_id, second.parent_id) == (run_span_id(job_id, 2), start_span_id(job_id, 2))
    assert second.started_ns == pytest.approx(begun.timestamp() * 1e9, abs=1e6)


def test_a_job_of_a_batch_begins_with_its_run(services: Services, spans: Spans) -> None:
    source = BlobRef(container=UPLOADS, name="x")
    request = JobRequest(job_id=JOB, source=source, owner_id="me", batch_id="batch")
    services.jobs.create(request, instance_id=f"{JOB}-1", deadline=utc_now() + timedelta(hours=1))
    finish_job(FinishInput(job_id=JOB, run=1, state=JobState.CANCELLED).to_json())
    assert spans.named("image_pipeline")[0].parent_id is None


def test_a_job_that_no_request_started_begins_with_its_trigger(spans: Spans) -> None:
    tracing.job_started(JOB, 1, utc_now())
    (trigger,) = spans.records
    assert (trigger.name, trigger.span_id, trigger.parent_id) == ("trigger", start_span_id(JOB, 1), None)


def test_a_call_to_the_gpu_service_goes_on_in_its_process(gpu: Server, spans: Spans) -> None:
    upscale(gpu)
    call, served = spans.wait(2)
    assert (call.kind, served.kind) == (SpanType.CLIENT, SpanType.SERVER)
    assert served.parent_id == call.span_id
    assert served.trace_id == call.trace_id == trace_id_of(JOB)
    assert (served.attributes["http.status_code"], call.attributes["http.status_code"]) == (429, 429)
    assert (served.succeeded, call.succeeded, call.attributes["error_code"]) == (False, False, "gpu_busy")


@pytest.mark.parametrize("traceparent", ["", "00-abc", "00-" + "g" * 32 + "-" + "0" * 16 + "-01"])
def test_a_broken_traceparent_costs_the_parent_only(gpu: Server, spans: Spans, traceparent: str) -> None:
    gpu.client.post("/v1/upscale", headers={"X-Job-Id": JOB, "traceparent": traceparent})
    (served,) = spans.wait(1)
    assert (served.trace_id, served.parent_id) == (trace_id_of(JOB), None)


@pytest.mark.parametrize("job_id", ["", "no such thing!", "x" * 65])
def test_a_call_of_no_job_is_no_span(gpu: Server, spans: Spans, job_id: str) -> None:
    assert gpu.client.post("/v1/upscale", headers={"X-Job-Id": job_id}).status_code == 429
    assert spans.records == []


def test_without_an_exporter_nothing_is_recorded_or_sent_along(gpu: Server) -> None:
    with tracing.span("work", SpanType.INTERNAL, JOB) as current:
        upscale(gpu)
        assert tracing.position(JOB) == (trace_id_of(JOB), "")
    assert (current.trace_id, current.headers) == ("", {})
    assert "traceparent" not in gpu.app.state.headers  # type: ignore[attr-defined]
    assert gpu.app.state.headers["x-job-id"] == JOB  # type: ignore[attr-defined]


def test_a_sink_that_breaks_does_not_break_what_is_measured() -> None:
    class Broken:
        def span(self, record: SpanRecord) -> None:
            raise OSError("no room")

    tracing.use(Broken())
    try:
        with tracing.span("work", SpanType.INTERNAL, JOB):
            pass
    finally:
        tracing.use(None)
