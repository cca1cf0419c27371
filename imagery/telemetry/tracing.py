"""One trace for each job, across all processes: the ids of its spans follow from the job's id.

========================= ========= ==================================================================
span                      kind      id, and what it hangs from
========================= ========= ==================================================================
the call that started it  server    of (job, run); the root
the orchestration         server    of (job, run); the call. Recorded by what ends the job (see
                                    ``run_span``): orchestrator code is replayed
an activity's attempt     internal  its own; the orchestration, which has an id before it has ended
a call to a service       client    its own; the activity. ``traceparent`` takes it along
the service's work        server    its own; the call
========================= ========= ==================================================================

Where nothing exports (``use`` was not called) every function here returns at once.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from imagery import __version__
from imagery.telemetry.logs import get_logger
from imagery.telemetry.redaction import redact

_log = get_logger(__name__)
_TRACE_DIGITS, _SPAN_DIGITS = 32, 16
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_MOST_STARTED = 16

Value = str | int | float | bool


class SpanType(StrEnum):
    """What a span measures: work for a caller, a call, or a step in between."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


@dataclass(frozen=True)
class SpanRecord:
    """A span that has ended. Times: nanoseconds since 1970; ids: lower case hex digits."""

    name: str
    kind: SpanType
    trace_id: str
    span_id: str
    parent_id: str | None
    started_ns: int
    ended_ns: int
    succeeded: bool
    attributes: Mapping[str, Value]


class SpanSink(Protocol):
    """Takes ended spans; it must return at once."""

    def span(self, record: SpanRecord) -> None:
        """Queue ``record`` for export."""


@dataclass
class Span:
    """A span under way. One without a trace is not recorded."""

    name: str = ""
    kind: SpanType = SpanType.INTERNAL
    trace_id: str = ""
    span_id: str = ""
    parent_id: str | None = None
    started_ns: int = 0
    attributes: dict[str, Value] = field(default_factory=dict)
    succeeded: bool = True

    def set(self, **attributes: Value | None) -> None:
        """Add attributes; those that are None are left out. ``__`` in a name stands for a dot."""
        given = {name.replace("__", "."): value for name, value in attributes.items() if value is not None}
        self.attributes.update(given)

    def failed(self, error_code: str) -> None:
        """It ends without success."""
        self.succeeded = False
        self.attributes["error_code"] = error_code

    @property
    def headers(self) -> dict[str, str]:
        """What a call takes along so that the other side continues the trace (W3C Trace Context)."""
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"} if self.trace_id else {}


@dataclass(frozen=True)
class _Exporting:
    sink: SpanSink
    sampling: float


# one or none
_exporting: list[_Exporting] = []
_current: ContextVar[Span | None] = ContextVar("imagery_span", default=None)
_started: ContextVar[list[tuple[str, int]] | None] = ContextVar("imagery_started_jobs", default=None)


def use(sink: SpanSink | None, sampling: float = 1.0) -> None:
    """From now on spans of this share of the jobs go to ``sink``; None: nowhere."""
    _exporting[:] = [_Exporting(sink, sampling)] if sink else []


def trace_id_of(job_id: str) -> str:
    """The trace of a job: the same in every process."""
    return _digits(job_id, _TRACE_DIGITS)


def run_span_id(job_id: str, run: int) -> str:
    """The span of an orchestration."""
    return _digits(f"{job_id}/run/{run}", _SPAN_DIGITS)


def start_span_id(job_id: str, run: int) -> str:
    """The span of the call that started a run."""
    return _digits(f"{job_id}/start/{run}", _SPAN_DIGITS)


def parent_of(traceparent: str) -> str | None:
    """The span id in the header of that name; None when it is not one."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[2] if found else None


def position(job_id: str | None) -> tuple[str, str] | None:
    """Trace and span ("" where none is open) that a log line of ``job_id`` belongs to."""
    span = _current.get()
    if job_id is None:
        return (span.trace_id, span.span_id) if span else None
    trace_id = trace_id_of(job_id)
    return trace_id, span.span_id if span and span.trace_id == trace_id else ""


@contextmanager
def span(
    name: str, kind: SpanType, job_id: str, *, parent_id: str | None = None, **attributes: Value | None
) -> Iterator[Span]:
    """Measure the block as a span of the job; without ``parent_id`` it hangs from the span around it.

    An exception that leaves the block makes it a failure.
    """
    if not _exporting:
        yield Span()
        return
    around, trace_id = _current.get(), trace_id_of(job_id)
    if parent_id is None and around is not None and around.trace_id == trace_id:
        parent_id = around.span_id
    own_id = secrets.token_hex(_SPAN_DIGITS // 2)
    current = Span(name, kind, trace_id, own_id, parent_id, time.time_ns())
    current.set(job_id=job_id, **attributes)
    clock = time.perf_counter_ns()
    token = _current.set(current)
    try:
        yield current
    except Exception as error:
        current.failed(str(current.attributes.get("error_code") or type(error).__name__))
        raise
    finally:
        _current.reset(token)
        _emit(current, current.started_ns + time.perf_counter_ns() - clock)


def record_span(
    name: str,
    kind: SpanType,
    job_id: str,
    *,
    span_id: str,
    parent_id: str | None,
    started: datetime,
    ended: datetime,
    error_code: str | None = None,
    **attributes: Value | None,
) -> None:
    """Record a span that is over, and whose id was known before."""
    if not _exporting:
        return
    past = Span(name, kind, trace_id_of(job_id), span_id, parent_id, _nanoseconds(started))
    past.set(job_id=job_id, **attributes)
    if error_code is not None:
        past.failed(error_code)
    _emit(past, _nanoseconds(ended))


@contextmanager
def starting_jobs() -> Iterator[list[tuple[str, int]]]:
    """Collect the jobs (id, run) that the block starts, so that its span can become the first of theirs."""
    started: list[tuple[str, int]] = []
    token = _started.set(started)
    try:
        yield started
    finally:
        _started.reset(token)


def job_started(job_id: str, run: int, at: datetime) -> None:
    """Link the run to the call that caused it; without one (a trigger), record its start now."""
    started = _started.get()
    if started is None:
        own_id = start_span_id(job_id, run)
        record_span("trigger", SpanType.SERVER, job_id, span_id=own_id, parent_id=None, started=at, ended=at)
    elif len(started) < _MOST_STARTED:
        started.append((job_id, run))


def _emit(ended: Span, ended_ns: int) -> None:
    for exporting in _exporting:
        if not _is_sampled(ended.trace_id, exporting.sampling):
            continue
        try:
            exporting.sink.span(_record(ended, ended_ns))
        except Exception as error:
            # what is measured must not fail because the measuring does
            _log.warning("span_lost", span=ended.name, error=str(error))


def _record(ended: Span, ended_ns: int) -> SpanRecord:
    return SpanRecord(
        name=ended.name,
        kind=ended.kind,
        trace_id=ended.trace_id,
        span_id=ended.span_id,
        parent_id=ended.parent_id,
        started_ns=ended.started_ns,
        ended_ns=max(ended.started_ns, ended_ns),
        succeeded=ended.succeeded,
        attributes=redact({**ended.attributes, "version": __version__}),
    )


def _is_sampled(trace_id: str, share: float) -> bool:
    """By the trace, so that every process decides alike."""
    return int(trace_id[:8], 16) < share * 2**32


def _digits(text: str, count: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:count]


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)
