"""limits over several wallets, and wallets with labels"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError

from engine.migrations.online import add_check, add_foreign_key, add_unique, step_by_step
from engine.shape import Shape

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ONE_PER_ASSET = "wallets_one_per_user_and_asset"
ONE_PER_LABEL = "wallets_one_per_user_asset_and_label"
CHECKS = (
    ("daily_limits_cap_positive", "daily_cap >= 0"),
    ("daily_limits_overdraft_positive", "overdraft >= 0"),
)


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    op.create_table(
        "daily_limits",
        sa.Column("user_id", sa.BigInteger, primary_key=True),
        sa.Column("asset_type_id", sa.BigInteger, primary_key=True),
        sa.Column("daily_cap", shape.money_column()),
        sa.Column("overdraft", shape.money_column()),
        if_not_exists=True,
    )
    # A constant default is kept in the catalog: no row is written.
    op.execute(
        "ALTER TABLE wallets ADD COLUMN IF NOT EXISTS label text NOT NULL DEFAULT '', "
        "ADD COLUMN IF NOT EXISTS limited boolean NOT NULL DEFAULT false"
    )
    if not shape.constraints:
        return
    with step_by_step():
        for name, condition in CHECKS:
            add_check("daily_limits", name, condition)
        add_foreign_key("daily_limits", "user_id", "users")
        add_foreign_key("daily_limits", "asset_type_id", "asset_types")
        add_unique("wallets", ONE_PER_LABEL, ("user_id", "asset_type_id", "label"))
        op.execute(f"ALTER TABLE wallets DROP CONSTRAINT IF EXISTS {ONE_PER_ASSET}")


def downgrade() -> None:
    # One database transaction: done or not, whatever breaks off. Nobody is overdrawn meanwhile.
    shape: Shape = context.config.attributes["shape"]
    op.execute("LOCK TABLE wallets, users, asset_types, daily_limits IN ACCESS EXCLUSIVE MODE")
    if _any("limited AND balance < 0"):
        raise CommandError("wallets are overdrawn, and without limits nothing would bound them")
    op.execute("UPDATE wallets SET allow_negative = false WHERE limited AND allow_negative")
    op.drop_table("daily_limits")
    op.execute("ALTER TABLE wallets DROP COLUMN limited")
    if _any("label <> ''"):
        return  # They hold money: the column and what keeps them apart stay.
    op.execute("ALTER TABLE wallets DROP COLUMN label")
    if shape.constraints:
        op.create_unique_constraint(ONE_PER_ASSET, "wallets", ["user_id", "asset_type_id"])


def _any(condition: str) -> bool:
    query = sa.text(f"SELECT EXISTS (SELECT FROM wallets WHERE {condition})")  # noqa: S608
    return bool(op.get_bind().execute(query).scalar())
