"""How many pictures were not paid, beside what they would have cost: GET /spend reads the counters"""

from alembic import op

from imagery.settings import get_settings

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MICRO = 1_000_000


def upgrade() -> None:
    """Until now only the money was counted, each picture at today's price."""
    price = round(get_settings().nano_banana.prices.contract_usd * _MICRO)
    if price > 0:
        op.execute(
            "INSERT INTO metric_count (owner_id, name, label, value) "  # noqa: S608  # a whole number
            f"SELECT owner_id, 'avoided_pictures', label, (value + {price // 2}) / {price} "
            "FROM metric_count WHERE name = 'avoided'"
        )


def downgrade() -> None:
    op.execute("DELETE FROM metric_count WHERE name = 'avoided_pictures'")
