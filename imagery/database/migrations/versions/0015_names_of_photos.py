"""The name that each photo came with, and its size where it was scaled down"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLES = ("image_job", "upload_ticket")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("file_name", sa.String(length=255), nullable=True))
    op.add_column("image_job", sa.Column("scaled_from_mp", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("image_job", "scaled_from_mp")
    for table in _TABLES:
        # not by a copy of the table, as SQLite's old way is: other tables point to its rows
        op.drop_column(table, "file_name")
