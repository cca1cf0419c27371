"""Columns that were written and never read go"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)
_LONG_AGO = sa.text("'1970-01-01 00:00:00+00:00'")


def upgrade() -> None:
    for table, columns in _dropped().items():
        for column in columns:
            op.drop_column(table, column.name)


def downgrade() -> None:
    for table, columns in _dropped().items():
        for column in columns:
            op.add_column(table, column)


def _dropped() -> dict[str, list[sa.Column[Any]]]:
    return {
        "circuit_breaker": [sa.Column("failed_at", _MOMENT, nullable=True)],
        "stage_cache_entry": [
            sa.Column("stage", sa.String(length=20), nullable=False, server_default=""),
            sa.Column("output_type", sa.String(length=100), nullable=False, server_default=""),
            sa.Column("hits", sa.Integer(), nullable=False, server_default="0"),
            sa.Column("created_at", _MOMENT, nullable=False, server_default=_LONG_AGO),
            sa.Column("last_used_at", _MOMENT, nullable=False, server_default=_LONG_AGO),
        ],
        "stage_run": [sa.Column("output_type", sa.String(length=100), nullable=True)],
        "upload_ticket": [sa.Column("created_at", _MOMENT, nullable=False, server_default=_LONG_AGO)],
    }
