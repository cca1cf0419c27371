"""A stage that rejected its input is REJECTED, as its job and its verdict are"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE stage_run SET state = 'REJECTED' WHERE state = 'REFUSED'")


def downgrade() -> None:
    op.execute("UPDATE stage_run SET state = 'REFUSED' WHERE state = 'REJECTED'")
