"""what the database itself refuses"""

import sqlalchemy as sa
from alembic import context, op

from engine.migrations.online import add_check, add_foreign_key, add_unique, step_by_step
from engine.shape import Shape

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Above every number PostgreSQL sorts Infinity, and above that NaN: an upper bound refuses them too.
LARGEST = 2**53 - 1
CHECKS = (
    ("wallets", "wallets_never_negative", "allow_negative OR balance >= 0"),
    ("wallets", "wallets_balance_bounded", f"abs(balance) <= {LARGEST}"),
    ("wallets", "wallets_status_known", "status IN ('active', 'frozen', 'closed')"),
    ("transactions", "transactions_amount_positive", f"amount > 0 AND amount <= {LARGEST}"),
    ("transactions", "transactions_two_wallets", "from_wallet_id <> to_wallet_id"),
)
ONE_PER_ASSET = "wallets_one_per_user_and_asset"
ONE_PER_LABEL = "wallets_one_per_user_asset_and_label"
"""Of a later migration."""
UNIQUES = (
    ("users", "users_username", ("username",)),
    ("wallets", ONE_PER_ASSET, ("user_id", "asset_type_id")),
)
FOREIGN_KEYS = (
    ("wallets", "user_id", "users"),
    ("wallets", "asset_type_id", "asset_types"),
    ("transactions", "from_wallet_id", "wallets"),
    ("transactions", "to_wallet_id", "wallets"),
)
LEDGER_CHECKS = (
    ("ledger_entries", "ledger_amount_positive", f"amount > 0 AND amount <= {LARGEST}"),
    ("ledger_entries", "ledger_entry_type_known", "entry_type IN ('DEBIT', 'CREDIT')"),
)
LEDGER_FOREIGN_KEYS = (
    ("ledger_entries", "transaction_id", "transactions"),
    ("ledger_entries", "wallet_id", "wallets"),
)


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    if not shape.constraints:
        return
    checks = CHECKS + (LEDGER_CHECKS if shape.double_entry else ())
    foreign_keys = FOREIGN_KEYS + (LEDGER_FOREIGN_KEYS if shape.double_entry else ())
    with step_by_step():
        for table, name, condition in checks:
            add_check(table, name, condition)
        for table, name, columns in UNIQUES:
            # Where labels were left by a downgrade, what keeps wallets apart was left with them.
            if name != ONE_PER_ASSET or not _has_labels():
                add_unique(table, name, columns)
        for table, column, referred in foreign_keys:
            add_foreign_key(table, column, referred)


def downgrade() -> None:
    for table, column, _ in FOREIGN_KEYS + LEDGER_FOREIGN_KEYS:
        op.execute(f"ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {table}_{column}_fk")
    for table, name, _ in UNIQUES + CHECKS + LEDGER_CHECKS:
        op.execute(f"ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {name}")


def _has_labels() -> bool:
    constraints = sa.inspect(op.get_bind()).get_unique_constraints("wallets")
    return any(constraint["name"] == ONE_PER_LABEL for constraint in constraints)
