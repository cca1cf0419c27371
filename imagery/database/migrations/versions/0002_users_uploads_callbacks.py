"""Keys and quotas of users, upload tickets, callbacks"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("user_account", schema=None) as batch_op:
        batch_op.add_column(sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("jobs_per_minute", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("concurrent_jobs", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("micro_usd_per_day", sa.BigInteger(), nullable=True))
        batch_op.add_column(
            sa.Column("webhook_version", sa.Integer(), nullable=False, server_default=sa.text("1"))
        )
        batch_op.create_index(batch_op.f("ix_user_account_name"), ["name"], unique=False)

    with op.batch_alter_table("image_job", schema=None) as batch_op:
        batch_op.add_column(sa.Column("callback_url", sa.String(length=2048), nullable=True))
        batch_op.create_index("ix_image_job_owner_newest", ["owner_id", "created_at"], unique=False)

    with op.batch_alter_table("spend_entry", schema=None) as batch_op:
        batch_op.create_index("ix_spend_entry_owner", ["owner_id", "reserved_at"], unique=False)

    with op.batch_alter_table("job_event", schema=None) as batch_op:
        batch_op.create_index("ix_job_event_owner", ["owner_id", "id"], unique=False)

    op.create_table(
        "api_key",
        sa.Column("prefix", sa.String(length=20), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("salt", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.user_id"]),
        sa.PrimaryKeyConstraint("prefix"),
    )
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_key_user_id"), ["user_id"], unique=False)

    op.create_table(
        "upload_ticket",
        sa.Column("ticket_id", sa.String(length=64), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("blob_name", sa.String(length=1024), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("content_type", sa.String(length=100), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("callback_url", sa.String(length=2048), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ticket_id"),
    )

    op.create_table(
        "callback_delivery",
        sa.Column("delivery_id", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["image_job.job_id"]),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    with op.batch_alter_table("callback_delivery", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_callback_delivery_job_id"), ["job_id"], unique=False)
        batch_op.create_index("ix_callback_delivery_due", ["state", "next_attempt_at"], unique=False)


def downgrade() -> None:
    op.drop_table("callback_delivery")
    op.drop_table("upload_ticket")
    op.drop_table("api_key")
    with op.batch_alter_table("job_event", schema=None) as batch_op:
        batch_op.drop_index("ix_job_event_owner")
    with op.batch_alter_table("spend_entry", schema=None) as batch_op:
        batch_op.drop_index("ix_spend_entry_owner")
    with op.batch_alter_table("image_job", schema=None) as batch_op:
        batch_op.drop_index("ix_image_job_owner_newest")
        batch_op.drop_column("callback_url")
    with op.batch_alter_table("user_account", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_user_account_name"))
        for column in (
            "webhook_version",
            "micro_usd_per_day",
            "concurrent_jobs",
            "jobs_per_minute",
            "disabled_at",
        ):
            batch_op.drop_column(column)
