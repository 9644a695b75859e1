"""what only one movement may ever do: a reversal, a bonus of a campaign"""

import sqlalchemy as sa
from alembic import context, op

from engine.shape import Shape

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

COLUMNS = (
    ("reverses_transaction_id", sa.Uuid),
    ("campaign", sa.Text),
    ("campaign_user_id", sa.BigInteger),
)
ONCE = (
    ("transactions_reversed_once", ["reverses_transaction_id"]),
    ("transactions_granted_once", ["campaign", "campaign_user_id"]),
)
FOREIGN_KEYS = (
    ("transactions_reverses_fk", "transactions", "reverses_transaction_id"),
    ("transactions_campaign_user_fk", "users", "campaign_user_id"),
)


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    for name, kind in COLUMNS:
        op.add_column("transactions", sa.Column(name, kind))
    for name, columns in ONCE:
        # Partial: a movement that is none of these costs nothing here.
        op.create_index(
            name,
            "transactions",
            columns,
            unique=shape.constraints,
            postgresql_where=sa.text(f"{columns[0]} IS NOT NULL"),
        )
    if shape.constraints:
        for name, referred, column in FOREIGN_KEYS:
            op.create_foreign_key(name, "transactions", referred, [column], ["id"])


def downgrade() -> None:
    # Constraints and indexes go with their columns.
    for name, _ in COLUMNS:
        op.drop_column("transactions", name)
