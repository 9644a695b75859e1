"""the first assets and the system wallets that fund them"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("INSERT INTO users (username, role) VALUES ('system', 'system')")
    op.execute(
        "INSERT INTO asset_types (name, code, decimals) VALUES "
        "('US Dollar', 'USD', 2), ('Gold Coins', 'GOLD', 2)"
    )
    op.execute(
        "INSERT INTO wallets (user_id, asset_type_id, allow_negative) "
        "SELECT u.id, a.id, true FROM users u, asset_types a WHERE u.role = 'system' ORDER BY a.id"
    )


def downgrade() -> None:
    # Down to an empty house only: system wallets that have funded somebody are history.
    op.execute("DELETE FROM wallets w USING users u WHERE w.user_id = u.id AND u.role = 'system'")
    op.execute("DELETE FROM asset_types")
    op.execute("DELETE FROM users WHERE role = 'system'")
