"""The tables. Times are UTC, the ledger counts millionths of USD, ``*_gb`` are 1e9 bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from imagery.database.utc_datetime import UtcDateTime


def utc_now() -> datetime:
    """Now, with its time zone."""
    return datetime.now(UTC)


def utc_day() -> str:
    """Today in UTC, ``YYYY-MM-DD``."""
    return utc_now().date().isoformat()


class User(SQLModel, table=True):
    """Who owns jobs. Quotas that are None are those of the settings."""

    __tablename__ = "user_account"

    user_id: str = Field(primary_key=True, max_length=64)
    name: str = Field(index=True, max_length=200)
    role: str = Field(default="user", max_length=20)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    disabled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    jobs_per_minute: int | None = None
    concurrent_jobs: int | None = None
    micro_usd_per_day: int | None = Field(default=None, sa_type=BigInteger)
    webhook_version: int = 1


class ApiKey(SQLModel, table=True):
    """One API key: of the secret only a salted hash. ``prefix`` is the readable part that names the key."""

    __tablename__ = "api_key"

    prefix: str = Field(primary_key=True, max_length=20)
    user_id: str = Field(foreign_key="user_account.user_id", index=True, max_length=64)
    salt: str = Field(max_length=64)
    hash: str = Field(max_length=64)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class BrowserSession(SQLModel, table=True):
    """A browser that is signed in with a key: its cookie holds a random id, this row that id's hash."""

    __tablename__ = "browser_session"

    id_hash: str = Field(primary_key=True, max_length=64)
    key_prefix: str = Field(foreign_key="api_key.prefix", max_length=20)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    expires_at: datetime = Field(index=True, sa_type=UtcDateTime)


class UploadTicket(SQLModel, table=True):
    """A link that was handed out, and what it promised: who uploads, how many bytes, for which job.

    ``file_name``: as the sender calls the photo; the blob's name has plain letters only.
    """

    __tablename__ = "upload_ticket"

    ticket_id: str = Field(primary_key=True, max_length=64)
    owner_id: str = Field(max_length=64)
    blob_name: str = Field(max_length=1024)
    file_name: str | None = Field(default=None, max_length=255)
    size_bytes: int
    content_type: str = Field(max_length=100)
    options: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    callback_url: str | None = Field(default=None, max_length=2048)
    expires_at: datetime = Field(index=True, sa_type=UtcDateTime)


class ImageJob(SQLModel, table=True):
    """One image on its way. ``run`` counts explicit requests to run it: 1, then one more a retry.

    ``content_hash``: SHA-256 of the clean picture that the guardrail kept. ``expired_at``: since then the
    job's pictures and durable history are gone; this row, its stages and its money stay. ``file_name``: that
    the photo came with. ``scaled_from_mp``: its megapixels, if the stages work with fewer.
    """

    __tablename__ = "image_job"
    __table_args__ = (
        Index("ix_image_job_newest", "created_at", "job_id"),
        Index("ix_image_job_open", "state", "updated_at"),
        Index("ix_image_job_owner_newest", "owner_id", "created_at"),
        Index("ix_image_job_state_newest", "state", "created_at", "job_id"),
        Index("ix_image_job_owner_state", "owner_id", "state", "created_at"),
        Index("ix_image_job_source", "source_name"),
    )

    job_id: str = Field(primary_key=True, max_length=64)
    owner_id: str = Field(index=True, max_length=64)
    batch_id: str | None = Field(default=None, index=True, max_length=64)
    source_container: str = Field(max_length=63)
    source_name: str = Field(max_length=1024)
    source_etag: str | None = Field(default=None, max_length=100)
    file_name: str | None = Field(default=None, max_length=255)
    content_type: str | None = Field(default=None, max_length=200)
    request_hash: str = Field(default="", max_length=64)
    options: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    callback_url: str | None = Field(default=None, max_length=2048)
    content_hash: str | None = Field(default=None, max_length=64)
    scaled_from_mp: float | None = None
    state: str = Field(max_length=20)
    stage: str | None = Field(default=None, max_length=20)
    error_code: str | None = Field(default=None, max_length=64)
    error_message: str | None = Field(default=None, sa_type=Text)
    instance_id: str = Field(max_length=100)
    run: int = 1
    restarts: int = 0
    deadline: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    expired_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Batch(SQLModel, table=True):
    """Many jobs asked for at once. ``refused``: the items that got no job, as the API reports them."""

    __tablename__ = "batch"

    batch_id: str = Field(primary_key=True, max_length=64)
    owner_id: str = Field(index=True, max_length=64)
    request_hash: str = Field(default="", max_length=64)
    items: int
    refused: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class StageRun(SQLModel, table=True):
    """One stage of one job; ``attempt`` counts how often its activity was started.

    ``cached``: the result was taken over from an earlier job instead of being computed. ``ticket``: a
    ``GpuTicket`` while the GPU works on it between two calls. ``waited_ms``: while the GPU worked for others;
    ``duration_ms`` is without it. ``restarts``: how often another work at the GPU took over, and
    ``repeat_reason`` why that, or the last attempt, was needed. ``credentials``: a ``DeliveredCredentials``.
    """

    __tablename__ = "stage_run"
    __table_args__ = (UniqueConstraint("job_id", "stage"),)

    id: int | None = Field(default=None, primary_key=True)
    job_id: str = Field(foreign_key="image_job.job_id", index=True, max_length=64)
    stage: str = Field(max_length=20)
    state: str = Field(max_length=20)
    attempt: int = 0
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    waiting_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    duration_ms: float | None = None
    vram_used_gb: float | None = None
    cost_usd: float = 0.0
    cached: bool = False
    ticket: dict[str, Any] | None = Field(
        default=None, sa_column=Column(JSON(none_as_null=True), nullable=True)
    )
    waited_ms: float | None = None
    restarts: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    repeat_reason: str | None = Field(default=None, sa_type=Text)
    credentials: str | None = Field(default=None, max_length=20)
    output_container: str | None = Field(default=None, max_length=63)
    output_name: str | None = Field(default=None, max_length=1024)
    error_code: str | None = Field(default=None, max_length=64)
    error_message: str | None = Field(default=None, sa_type=Text)


class GuardrailLog(SQLModel, table=True):
    """One verdict of the guardrail with every check behind it."""

    __tablename__ = "guardrail_log"

    id: int | None = Field(default=None, primary_key=True)
    job_id: str | None = Field(default=None, index=True, max_length=64)
    owner_id: str = Field(max_length=64)
    verdict: str = Field(index=True, max_length=20)
    code: str | None = Field(default=None, max_length=64)
    message: str = Field(sa_type=Text)
    checks: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    size_bytes: int = 0
    duration_ms: float = 0.0
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


class SpendEntry(SQLModel, table=True):
    """The ledger of paid calls: one row for each explicit request to pay for a stage of a job.

    ``day``: the UTC day (``YYYY-MM-DD``) whose budget the price is taken from. ``result_lost``: it was
    charged but its picture never arrived, or was rejected, so a later explicit request may pay again.
    ``result_key``: the same for calls that would bring the same picture.

    ``price_micro_usd`` is that of the order until the entry is closed, then that of what came.
    ``provider``, ``model`` and ``image_size``: what was ordered; None in rows of earlier versions. From
    ``answered_at`` on: what came, recorded before its picture is stored. ``due_micro_usd``: what it costs.
    """

    __tablename__ = "spend_entry"
    __table_args__ = (
        UniqueConstraint("job_id", "stage", "attempt_group"),
        Index("ix_spend_entry_owner", "owner_id", "reserved_at"),
        Index("ix_spend_entry_day", "day", "owner_id"),
        Index("ix_spend_entry_sent", "state", "sent_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    job_id: str = Field(foreign_key="image_job.job_id", index=True, max_length=64)
    owner_id: str = Field(max_length=64)
    stage: str = Field(max_length=20)
    attempt_group: int
    state: str = Field(index=True, max_length=20)
    price_micro_usd: int
    calls: int = 0
    note: str | None = Field(default=None, sa_type=Text)
    day: str = Field(default_factory=utc_day, max_length=10)
    result_lost: bool = False
    resolved_by: str | None = Field(default=None, max_length=64)
    result_key: str | None = Field(default=None, index=True, max_length=64)
    provider: str | None = Field(default=None, max_length=40)
    model: str | None = Field(default=None, max_length=100)
    image_size: str | None = Field(default=None, max_length=10)
    reserved_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    answered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    due_micro_usd: int | None = None
    answered_model: str | None = Field(default=None, max_length=100)
    response_id: str | None = Field(default=None, max_length=100)
    usage: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    delivered_size: str | None = Field(default=None, max_length=10)
    width: int | None = None
    height: int | None = None
    text: str | None = Field(default=None, sa_type=Text)


class SpendDay(SQLModel, table=True):
    """What one UTC day's budget has given: ``scope`` is ``*`` (everybody) or an owner.

    The sum of the prices of that day's entries that are not released, kept beside them so that a
    reservation is one conditional update instead of a sum over rows that others are writing.
    """

    __tablename__ = "spend_day"

    day: str = Field(primary_key=True, max_length=10)
    scope: str = Field(primary_key=True, max_length=64)
    micro_usd: int = Field(default=0, sa_type=BigInteger)


class CircuitBreaker(SQLModel, table=True):
    """The state of one dependency, shared by all instances.

    ``probe_holder`` may call until ``probe_until`` while the others wait. ``forced``: set by hand, and
    left only by hand. ``openings`` counts probes that failed in a row.
    """

    __tablename__ = "circuit_breaker"

    dependency: str = Field(primary_key=True, max_length=40)
    state: str = Field(default="closed", max_length=20)
    forced: bool = False
    failures: int = 0
    openings: int = 0
    last_error: str | None = Field(default=None, max_length=200)
    changed_by: str | None = Field(default=None, max_length=64)
    changed_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    probe_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    probe_holder: str | None = Field(default=None, max_length=64)
    probe_until: datetime | None = Field(default=None, sa_type=UtcDateTime)


class GpuAnswer(SQLModel, table=True):
    """What the GPU service said of itself with its last answer: one row, by the service's name.

    ``health``: the message ``GpuHealth``.
    """

    __tablename__ = "gpu_answer"

    service: str = Field(primary_key=True, max_length=40)
    answered_at: datetime = Field(sa_type=UtcDateTime)
    health: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class StageCacheEntry(SQLModel, table=True):
    """A finished stage that the same input with the same parameters may take over.

    ``key``: SHA-256 over scope, input, stage, parameters and model version. The blob is the output of
    ``job_id``, and goes when that job's pictures go.
    """

    __tablename__ = "stage_cache_entry"

    key: str = Field(primary_key=True, max_length=64)
    job_id: str = Field(index=True, max_length=64)
    output_container: str = Field(max_length=63)
    output_name: str = Field(max_length=1024)


class JobEvent(SQLModel, table=True):
    """What happened to a job; what /api/v1/logs shows. The order of the ids is that of the commits."""

    __tablename__ = "job_event"
    __table_args__ = (
        Index("ix_job_event_owner", "owner_id", "id"),
        Index("ix_job_event_job", "job_id", "id"),
    )

    id: int | None = Field(default=None, primary_key=True)
    job_id: str = Field(max_length=64)
    owner_id: str = Field(max_length=64)
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    level: str = Field(max_length=10)
    event: str = Field(max_length=64)
    stage: str | None = Field(default=None, max_length=20)
    data: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class MetricCount(SQLModel, table=True):
    """One counter of /api/v1/metrics: ``owner_id`` is ``*`` (everybody) or an owner. It only grows."""

    __tablename__ = "metric_count"

    owner_id: str = Field(primary_key=True, max_length=64)
    name: str = Field(primary_key=True, max_length=40)
    label: str = Field(primary_key=True, max_length=64)
    value: int = Field(default=0, sa_type=BigInteger)


class CallbackDelivery(SQLModel, table=True):
    """The message to a callback URL about the end of one run of a job, and how its delivery went."""

    __tablename__ = "callback_delivery"
    __table_args__ = (Index("ix_callback_delivery_due", "state", "next_attempt_at"),)

    delivery_id: str = Field(primary_key=True, max_length=64)
    job_id: str = Field(foreign_key="image_job.job_id", index=True, max_length=64)
    owner_id: str = Field(max_length=64)
    url: str = Field(max_length=2048)
    body: str = Field(sa_type=Text)
    state: str = Field(max_length=20)
    attempts: int = 0
    last_status: int | None = None
    last_error: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)
    next_attempt_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
