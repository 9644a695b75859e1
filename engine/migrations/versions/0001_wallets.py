"""users, asset types, wallets and transactions"""

import sqlalchemy as sa
from alembic import context, op

from engine.shape import Shape

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    _create_shape(shape)
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False, server_default=""),
        sa.Column("role", sa.Text, nullable=False, server_default="user"),
        sa.Column("password_hash", sa.Text),
    )
    op.create_table(
        "asset_types",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False, unique=True),
        sa.Column("decimals", sa.Integer, nullable=False),
    )
    op.create_table(
        "wallets",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("asset_type_id", sa.BigInteger, nullable=False),
        sa.Column("balance", shape.money_column(), nullable=False, server_default="0"),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("status", sa.Text, nullable=False, server_default="active"),
        sa.Column("allow_negative", sa.Boolean, nullable=False, server_default="false"),
    )
    op.create_index("wallets_user_id", "wallets", ["user_id"])
    op.create_table(
        "transactions",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("from_wallet_id", sa.BigInteger),
        sa.Column("to_wallet_id", sa.BigInteger),
        sa.Column("amount", shape.money_column(), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("transactions_from", "transactions", ["from_wallet_id", "timestamp"])
    op.create_index("transactions_to", "transactions", ["to_wallet_id", "timestamp"])


def _create_shape(shape: Shape) -> None:
    table = op.create_table(
        "schema_shape",
        sa.Column("money", sa.Text, nullable=False),
        sa.Column("constraints", sa.Boolean, nullable=False),
        sa.Column("double_entry", sa.Boolean, nullable=False),
    )
    op.bulk_insert(
        table,
        [
            {
                "money": shape.money,
                "constraints": shape.constraints,
                "double_entry": shape.double_entry,
            }
        ],
    )


def downgrade() -> None:
    for table in ("transactions", "wallets", "asset_types", "users", "schema_shape"):
        op.drop_table(table)
