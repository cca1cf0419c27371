"""Budgets a day, circuit breakers, stage cache, batches, retention"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_NO = sa.false()


def upgrade() -> None:
    with op.batch_alter_table("image_job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("content_hash", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("expired_at", _MOMENT, nullable=True))
    with op.batch_alter_table("stage_run", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cached", sa.Boolean(), nullable=False, server_default=_NO))
    with op.batch_alter_table("spend_entry", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("day", sa.String(length=10), nullable=False, server_default=sa.text("'1970-01-01'"))
        )
        batch_op.add_column(sa.Column("result_lost", sa.Boolean(), nullable=False, server_default=_NO))
        batch_op.add_column(sa.Column("resolved_by", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("result_key", sa.String(length=64), nullable=True))
        batch_op.create_index(batch_op.f("ix_spend_entry_result_key"), ["result_key"], unique=False)
        batch_op.create_index("ix_spend_entry_day", ["day", "owner_id"], unique=False)
        batch_op.create_index("ix_spend_entry_sent", ["state", "sent_at"], unique=False)

    op.create_table(
        "batch",
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("refused", sa.JSON(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("cancelled_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("batch_id"),
    )
    with op.batch_alter_table("batch", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_batch_owner_id"), ["owner_id"], unique=False)
    op.create_table(
        "spend_day",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("scope", sa.String(length=64), nullable=False),
        sa.Column("micro_usd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "scope"),
    )
    op.create_table(
        "circuit_breaker",
        sa.Column("dependency", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("openings", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(length=200), nullable=True),
        sa.Column("changed_by", sa.String(length=64), nullable=True),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.Column("failed_at", _MOMENT, nullable=True),
        sa.Column("probe_at", _MOMENT, nullable=True),
        sa.Column("probe_holder", sa.String(length=64), nullable=True),
        sa.Column("probe_until", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("dependency"),
    )
    op.create_table(
        "stage_cache_entry",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("output_container", sa.String(length=63), nullable=False),
        sa.Column("output_name", sa.String(length=1024), nullable=False),
        sa.Column("output_type", sa.String(length=100), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("last_used_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    with op.batch_alter_table("stage_cache_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_stage_cache_entry_job_id"), ["job_id"], unique=False)
    _count_what_was_spent()
    _keep_known_batches()


def _count_what_was_spent() -> None:
    """Entries get the UTC day they were reserved on, and each day its sums."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    day = (
        "substr(reserved_at, 1, 10)" if is_sqlite else "to_char(reserved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    )
    op.execute(f"UPDATE spend_entry SET day = {day}")  # noqa: S608  # one of the two texts above
    counted = "SUM(price_micro_usd) FROM spend_entry WHERE state <> 'released' GROUP BY day"
    target = "INSERT INTO spend_day (day, scope, micro_usd)"
    op.execute(f"{target} SELECT day, '*', {counted}")
    op.execute(f"{target} SELECT day, owner_id, {counted}, owner_id")


def _keep_known_batches() -> None:
    """Batches were known by their jobs only; what had been refused is not known any more."""
    job = sa.table("image_job", *(sa.column(name) for name in ("batch_id", "owner_id", "created_at")))
    known = (
        sa.select(
            job.c.batch_id,
            sa.func.min(job.c.owner_id),
            sa.literal(""),
            sa.func.count(),
            sa.literal([], sa.JSON()),
            sa.func.min(job.c.created_at),
        )
        .where(job.c.batch_id.is_not(None))
        .group_by(job.c.batch_id)
    )
    columns = ["batch_id", "owner_id", "request_hash", "items", "refused", "created_at"]
    batch = sa.table("batch", *(sa.column(name) for name in columns))
    op.execute(batch.insert().from_select(columns, known))


def downgrade() -> None:
    for table in ("stage_cache_entry", "circuit_breaker", "spend_day", "batch"):
        op.drop_table(table)
    with op.batch_alter_table("spend_entry", schema=None) as batch_op:
        batch_op.drop_index("ix_spend_entry_sent")
        batch_op.drop_index("ix_spend_entry_day")
        batch_op.drop_index(batch_op.f("ix_spend_entry_result_key"))
        for column in ("result_key", "resolved_by", "result_lost", "day"):
            batch_op.drop_column(column)
    with op.batch_alter_table("stage_run", schema=None) as batch_op:
        batch_op.drop_column("cached")
    with op.batch_alter_table("image_job", schema=None) as batch_op:
        batch_op.drop_column("expired_at")
        batch_op.drop_column("content_hash")
