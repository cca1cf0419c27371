"""Callbacks that wait to be sent: written with the end of the job, so that none is lost."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import Session, col, select

from imagery.contracts import Stage
from imagery.database.engine import Database
from imagery.database.events import record
from imagery.database.tables import CallbackDelivery, ImageJob, StageRun, utc_now
from imagery.webhooks import event_body


class CallbackState(StrEnum):
    """State of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


def add_callback(session: Session, job: ImageJob, lifetime: timedelta) -> None:
    """Queue the callback of a job that ends in this transaction, if the job has one."""
    if not job.callback_url:
        return
    now = utc_now()
    costs = session.exec(select(StageRun.cost_usd).where(StageRun.job_id == job.job_id))
    data = {
        "job_id": job.job_id,
        "state": job.state,
        "run": job.run,
        "batch_id": job.batch_id,
        "source": f"{job.source_container}/{job.source_name}",
        "cost_usd": round(sum(costs), 6),
        "error": {"code": job.error_code, "message": job.error_message, "stage": job.stage}
        if job.error_code
        else None,
        "links": {"status": f"/api/v1/status/{job.job_id}"},
    }
    session.add(
        CallbackDelivery(
            delivery_id=delivery_id(job.job_id, job.run),
            job_id=job.job_id,
            owner_id=job.owner_id,
            url=job.callback_url,
            body=event_body(f"job.{str(job.state).lower()}", now, data),
            state=CallbackState.PENDING,
            next_attempt_at=now,
            expires_at=now + lifetime,
        )
    )


def delivery_id(job_id: str, run: int) -> str:
    """The message's id. It is the same in every attempt, so that receivers can recognise repetitions."""
    return f"msg_{job_id}-{run}"


class Callbacks:
    """The repository of deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, limit: int) -> list[CallbackDelivery]:
        """Deliveries whose time has come, the longest waiting first."""
        query = (
            select(CallbackDelivery)
            .where(CallbackDelivery.state == CallbackState.PENDING)
            .where(col(CallbackDelivery.next_attempt_at) <= utc_now())
            .order_by(col(CallbackDelivery.next_attempt_at))
            .limit(limit)
        )
        with self._database.read() as session:
            return list(session.exec(query))

    def claim(self, delivery: str, hold: timedelta) -> CallbackDelivery | None:
        """Count an attempt and keep other senders away for ``hold``. Returns None if it is not pending."""
        with self._database.write() as session:
            row = _locked(session, delivery)
            if row is None or row.state != CallbackState.PENDING:
                return None
            row.attempts += 1
            row.next_attempt_at = utc_now() + hold
            return row

    def delivered(self, delivery: str, status: int) -> None:
        """Record that the receiver has the message."""
        with self._database.write() as session:
            row = _locked(session, delivery)
            if row is None:
                return
            row.state, row.last_status, row.last_error = CallbackState.DELIVERED, status, None
            row.delivered_at = utc_now()
            _record(session, row, "callback_delivered", "info")

    def failed(self, delivery: str, error: str, status: int | None, next_at: datetime | None) -> bool:
        """Record that an attempt failed. Returns False if there is no time for another one at ``next_at``."""
        with self._database.write() as session:
            row = _locked(session, delivery)
            if row is None:
                return False
            row.last_status, row.last_error = status, error
            again = next_at is not None and next_at < row.expires_at
            if again and next_at is not None:
                row.next_attempt_at = next_at
            else:
                row.state = CallbackState.FAILED
            _record(
                session,
                row,
                "callback_waiting" if again else "callback_failed",
                "warning" if again else "error",
            )
            return again


def latest(session: Session, job_ids: list[str]) -> dict[str, CallbackDelivery]:
    """The newest delivery of each of these jobs."""
    query = (
        select(CallbackDelivery)
        .where(col(CallbackDelivery.job_id).in_(job_ids))
        .order_by(col(CallbackDelivery.created_at))
    )
    return {row.job_id: row for row in session.exec(query)}


def _locked(session: Session, delivery: str) -> CallbackDelivery | None:
    query = select(CallbackDelivery).where(CallbackDelivery.delivery_id == delivery).with_for_update()
    return session.exec(query).first()


def _record(session: Session, row: CallbackDelivery, event: str, level: str) -> None:
    job = session.get(ImageJob, row.job_id)
    if job is None:
        return
    stage: Stage | None = None
    more = {"error": row.last_error} if row.last_error else {}
    record(
        session, job, event, stage=stage, level=level, attempt=row.attempts, status=row.last_status, **more
    )
