"""Upload tickets are found by their end"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_upload_ticket_expires_at", "upload_ticket", ["expires_at"])


def downgrade() -> None:
    op.drop_index("ix_upload_ticket_expires_at", table_name="upload_ticket")
