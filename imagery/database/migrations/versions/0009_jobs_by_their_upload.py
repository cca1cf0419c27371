"""Jobs are found by the upload that they read"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_image_job_source", "image_job", ["source_name"])


def downgrade() -> None:
    op.drop_index("ix_image_job_source", table_name="image_job")
