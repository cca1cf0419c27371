"""Counters beside the rows they count, begun with what the rows tell; indexes for what is asked often"""

import sqlalchemy as sa
from alembic import op

from imagery.database.counters import BUCKETS_S, INFINITE
from imagery.settings import get_settings

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MICRO = 1_000_000


def upgrade() -> None:
    op.create_table(
        "metric_count",
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "name", "label"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # room for new versions of a row beside the old one: all writers raise the same few rows
        op.execute("ALTER TABLE metric_count SET (fillfactor = 25)")
    op.create_index("ix_image_job_state_newest", "image_job", ["state", "created_at", "job_id"])
    op.create_index("ix_image_job_owner_state", "image_job", ["owner_id", "state", "created_at"])
    op.create_index("ix_job_event_job", "job_event", ["job_id", "id"])
    op.drop_index("ix_job_event_job_id", table_name="job_event")
    _begin_counters()


def _begin_counters() -> None:
    """What was entered and left before is not known: a job counts for QUEUED once a run, and for its end."""
    job = "image_job j"
    stages = "stage_run s JOIN image_job j ON j.job_id = s.job_id"
    _seed("jobs", "'QUEUED'", "SUM(j.run)", job)
    _seed("jobs", "'VALIDATING'", "COUNT(*)", f"{stages} WHERE s.stage = 'guardrail' AND s.attempt > 0")
    _seed("jobs", "'RUNNING'", "COUNT(*)", f"{stages} WHERE s.stage = 'rembg' AND s.attempt > 0")
    _seed("jobs", "j.state", "COUNT(*)", f"{job} WHERE j.finished_at IS NOT NULL")
    outcomes = "spend_entry j WHERE j.state IN ('settled', 'released', 'unknown') AND j.calls > 0"
    _seed("calls", "j.state", "SUM(j.calls)", outcomes)
    _seed("spend", "''", "SUM(j.price_micro_usd)", "spend_entry j WHERE j.state = 'settled'")
    _seed("validations", "j.verdict", "COUNT(*)", "guardrail_log j")
    _seed("cache_hits", "s.stage", "COUNT(*)", f"{stages} WHERE s.cached")
    _seed_avoided(job, stages)
    measured = f"{stages} WHERE s.state = 'SUCCEEDED' AND s.duration_ms IS NOT NULL"
    _seed("latency_sum", "s.stage", "CAST(ROUND(SUM(s.duration_ms) * 1000) AS BIGINT)", measured)
    bounds = " ".join(f"WHEN s.duration_ms <= {bound * 1000} THEN '{bound}'" for bound in BUCKETS_S)
    _seed("latency_bucket", f"s.stage || '/' || CASE {bounds} ELSE '{INFINITE}' END", "COUNT(*)", measured)
    op.execute(
        "INSERT INTO metric_count (owner_id, name, label, value) "
        "SELECT '*', name, label, SUM(value) FROM metric_count GROUP BY name, label"
    )


def _seed_avoided(job: str, stages: str) -> None:
    price = round(get_settings().nano_banana.prices.contract_usd * _MICRO)
    budget = "j.error_code IN ('budget_usd_per_day', 'quota_usd_per_day')"
    reason = f"CASE WHEN {budget} THEN 'budget' ELSE LOWER(j.state) END"
    unpaid = (
        "j.state IN ('FAILED', 'REJECTED', 'CANCELLED') "
        f"AND ({budget} OR j.stage IS NULL OR j.stage <> 'nano_banana')"
    )
    _seed("avoided", reason, f"COUNT(*) * {price}", f"{job} WHERE {unpaid}")
    taken_over = f"{stages} WHERE s.cached AND s.stage = 'nano_banana'"
    _seed("avoided", "'cache_hit'", f"COUNT(*) * {price}", taken_over)


def _seed(name: str, label: str, value: str, rows: str) -> None:
    found = f"SELECT j.owner_id AS owner_id, {label} AS label, {value} AS value FROM {rows} GROUP BY 1, 2"  # noqa: S608
    op.execute(
        "INSERT INTO metric_count (owner_id, name, label, value) "  # noqa: S608  # texts of this file
        f"SELECT owner_id, '{name}', label, value FROM ({found}) AS found WHERE value > 0"
    )


def downgrade() -> None:
    op.create_index("ix_job_event_job_id", "job_event", ["job_id"])
    op.drop_index("ix_job_event_job", table_name="job_event")
    op.drop_index("ix_image_job_owner_state", table_name="image_job")
    op.drop_index("ix_image_job_state_newest", table_name="image_job")
    op.drop_table("metric_count")
