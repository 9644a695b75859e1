"""holds, and the escrow wallets where their money waits"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError

from engine.migrations.append_only import FACTS, HOLD_FACTS, ONCE_FACTS, keep_facts
from engine.migrations.online import add_check, add_foreign_key, create_index, step_by_step
from engine.shape import Shape

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

CHECKS = (
    ("holds_amount_positive", "amount > 0"),
    ("holds_status_known", "status IN ('active', 'captured', 'released')"),
)
FOREIGN_KEYS = (
    ("holds", "id", "transactions"),
    ("holds", "from_wallet_id", "wallets"),
    ("holds", "to_wallet_id", "wallets"),
    ("transactions", "settles_hold_id", "holds"),
)
ONCE = "transactions_hold_settled_once"
ACTIVE = "SELECT count(*) FROM holds WHERE status = 'active'"


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    _create_holds(shape)
    with step_by_step():
        op.execute("ALTER TABLE transactions ADD COLUMN IF NOT EXISTS settles_hold_id uuid")
        settles = "settles_hold_id IS NOT NULL"
        create_index(
            "transactions", ONCE, ("settles_hold_id",), unique=shape.constraints, where=settles
        )
        if shape.constraints:
            for name, condition in CHECKS:
                add_check("holds", name, condition)
            for table, column, referred in FOREIGN_KEYS:
                add_foreign_key(table, column, referred)
    _open_escrow()
    keep_facts(shape, FACTS, ONCE_FACTS, HOLD_FACTS)


def _create_holds(shape: Shape) -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("from_wallet_id", sa.BigInteger, nullable=False),
        sa.Column("to_wallet_id", sa.BigInteger, nullable=False),
        sa.Column("amount", shape.money_column(), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
    op.create_index("holds_from_wallet", "holds", ["from_wallet_id", "status"], if_not_exists=True)


def _open_escrow() -> None:
    # Only what is missing: a downgrade leaves them. Only the role matters: somebody may have had
    # that name before it was reserved.
    op.execute(
        "INSERT INTO users (username, role) SELECT "
        "CASE WHEN EXISTS (SELECT FROM users WHERE username = 'escrow') "
        "THEN 'escrow-' || gen_random_uuid() ELSE 'escrow' END, 'escrow' "
        "WHERE NOT EXISTS (SELECT FROM users WHERE role = 'escrow')"
    )
    op.execute(
        "INSERT INTO wallets (user_id, asset_type_id) "
        "SELECT u.id, a.id FROM users u, asset_types a WHERE u.role = 'escrow' "
        "AND NOT EXISTS (SELECT FROM wallets w WHERE w.user_id = u.id AND w.asset_type_id = a.id) "
        "ORDER BY a.id"
    )


def downgrade() -> None:
    # Nobody sets anything aside meanwhile. In the order of payments: no circle.
    op.execute("LOCK TABLE wallets, transactions, holds IN ACCESS EXCLUSIVE MODE")
    active = op.get_bind().execute(sa.text(ACTIVE)).scalar()
    if active:
        raise CommandError(
            f"holds are active ({active}), and without their records their money would stay in "
            "escrow: capture or release them first"
        )
    keep_facts(context.config.attributes["shape"], FACTS, ONCE_FACTS)
    op.drop_column("transactions", "settles_hold_id")  # Its index and constraint go with it.
    op.drop_table("holds")
    # The escrow's user and wallets stay: movements may refer to them, and to see whether entries of
    # the ledger do takes a privilege that its owner no longer has (0007).
