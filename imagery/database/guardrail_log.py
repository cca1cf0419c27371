"""Verdicts of the guardrail, kept for audit."""

from __future__ import annotations

from sqlmodel import col, select

from imagery.contracts import GuardrailReport, Stage
from imagery.database.counters import Metric, count
from imagery.database.engine import Database
from imagery.database.tables import GuardrailLog
from imagery.telemetry.logs import get_logger

_log = get_logger(__name__)


def log_verdict(
    database: Database, report: GuardrailReport, *, owner_id: str, size_bytes: int, job_id: str | None = None
) -> None:
    """Write a row and a log line, the only trace of a picture that is rejected before it is a job."""
    verdict = "admitted" if report.admitted else "rejected"
    with database.write() as session:
        count(session, owner_id, Metric.VALIDATIONS, verdict)
        session.add(
            GuardrailLog(
                job_id=job_id,
                owner_id=owner_id,
                verdict=verdict,
                code=report.code,
                message=report.message,
                checks=[check.to_json() for check in report.checks],
                size_bytes=size_bytes,
                duration_ms=report.duration_ms,
            )
        )
    error = {"error_code": report.code, "error": report.message} if not report.admitted else {}
    _log.info(
        "guardrail_verdict",
        job_id=job_id,
        stage=Stage.GUARDRAIL.value,
        verdict=verdict,
        duration_ms=report.duration_ms,
        size_bytes=size_bytes,
        **error,
    )


def latest_verdict(database: Database, job_id: str) -> GuardrailLog | None:
    """The last verdict on a job's picture. Returns None if there is none."""
    query = select(GuardrailLog).where(GuardrailLog.job_id == job_id).order_by(col(GuardrailLog.id).desc())
    with database.read() as session:
        return session.exec(query.limit(1)).first()
