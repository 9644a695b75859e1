"""double-entry ledger"""

import sqlalchemy as sa
from alembic import context, op

from engine.shape import Shape

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    if not shape.double_entry:
        return
    op.create_table(
        "ledger_entries",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("transaction_id", sa.Uuid, nullable=False),
        sa.Column("wallet_id", sa.BigInteger, nullable=False),
        sa.Column("entry_type", sa.Text, nullable=False),
        sa.Column("amount", shape.money_column(), nullable=False),
        sa.Column("balance_after", shape.money_column(), nullable=False),
        sa.Column("wallet_version", sa.BigInteger, nullable=False),
    )
    op.create_index("ledger_entries_transaction", "ledger_entries", ["transaction_id"])
    op.create_index("ledger_entries_wallet", "ledger_entries", ["wallet_id", "wallet_version"])


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS ledger_entries")
