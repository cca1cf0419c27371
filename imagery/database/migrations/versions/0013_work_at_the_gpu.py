"""Work at the GPU that goes on between two calls: its ticket, its waits, how often it began again"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("stage_run", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ticket", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("waited_ms", sa.Float(), nullable=True))
        # code of the version before this one writes rows without it
        batch_op.add_column(sa.Column("restarts", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("repeat_reason", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("stage_run", schema=None) as batch_op:
        batch_op.drop_column("repeat_reason")
        batch_op.drop_column("restarts")
        batch_op.drop_column("waited_ms")
        batch_op.drop_column("ticket")
