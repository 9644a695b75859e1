"""holds, and the escrow wallets where their money waits"""

import sqlalchemy as sa
from alembic import context, op

from engine.shape import Shape

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

FOREIGN_KEYS = (
    ("holds_id_fk", "transactions", "id"),
    ("holds_from_wallet_id_fk", "wallets", "from_wallet_id"),
    ("holds_to_wallet_id_fk", "wallets", "to_wallet_id"),
)


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    op.create_table(
        "holds",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("from_wallet_id", sa.BigInteger, nullable=False),
        sa.Column("to_wallet_id", sa.BigInteger, nullable=False),
        sa.Column("amount", shape.money_column(), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("holds_from_wallet", "holds", ["from_wallet_id", "status"])
    op.add_column("transactions", sa.Column("settles_hold_id", sa.Uuid))
    op.create_index(
        "transactions_hold_settled_once",
        "transactions",
        ["settles_hold_id"],
        unique=shape.constraints,
        postgresql_where=sa.text("settles_hold_id IS NOT NULL"),
    )
    if shape.constraints:
        op.create_check_constraint("holds_amount_positive", "holds", "amount > 0")
        known = "status IN ('active', 'captured', 'released')"
        op.create_check_constraint("holds_status_known", "holds", known)
        for name, referred, column in FOREIGN_KEYS:
            op.create_foreign_key(name, "holds", referred, [column], ["id"])
        op.create_foreign_key(
            "transactions_settles_hold_fk", "transactions", "holds", ["settles_hold_id"], ["id"]
        )
    _open_escrow()


def _open_escrow() -> None:
    # Only what is missing: a downgrade leaves them.
    op.execute(
        "INSERT INTO users (username, role) SELECT 'escrow', 'escrow' "
        "WHERE NOT EXISTS (SELECT FROM users WHERE role = 'escrow')"
    )
    op.execute(
        "INSERT INTO wallets (user_id, asset_type_id) "
        "SELECT u.id, a.id FROM users u, asset_types a WHERE u.role = 'escrow' "
        "AND NOT EXISTS (SELECT FROM wallets w WHERE w.user_id = u.id AND w.asset_type_id = a.id) "
        "ORDER BY a.id"
    )


def downgrade() -> None:
    op.drop_column("transactions", "settles_hold_id")  # Its index and constraint go with it.
    op.drop_table("holds")
    # The escrow's user and wallets stay: movements may refer to them, and to see whether entries of
    # the ledger do takes a privilege that its owner no longer has (0007).
