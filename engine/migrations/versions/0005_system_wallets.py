"""the first assets and the system wallets that fund them"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Only what is missing: a downgrade leaves what wallets and movements still refer to.
    op.execute(
        "INSERT INTO users (username, role) SELECT 'system', 'system' "
        "WHERE NOT EXISTS (SELECT FROM users WHERE role = 'system')"
    )
    op.execute(
        "INSERT INTO asset_types (name, code, decimals) VALUES "
        "('US Dollar', 'USD', 2), ('Gold Coins', 'GOLD', 2) ON CONFLICT (code) DO NOTHING"
    )
    op.execute(
        "INSERT INTO wallets (user_id, asset_type_id, allow_negative) "
        "SELECT u.id, a.id, true FROM users u, asset_types a WHERE u.role = 'system' "
        "AND NOT EXISTS (SELECT FROM wallets w WHERE w.user_id = u.id AND w.asset_type_id = a.id) "
        "ORDER BY a.id"
    )


def downgrade() -> None:
    op.execute(
        "DELETE FROM wallets w USING users u WHERE w.user_id = u.id AND u.role = 'system' "
        "AND NOT EXISTS (SELECT FROM wallets o WHERE o.asset_type_id = w.asset_type_id "
        "AND o.user_id <> u.id) "
        "AND NOT EXISTS (SELECT FROM transactions t "
        "WHERE t.from_wallet_id = w.id OR t.to_wallet_id = w.id)"
    )
    op.execute(
        "DELETE FROM asset_types a "
        "WHERE NOT EXISTS (SELECT FROM wallets w WHERE w.asset_type_id = a.id)"
    )
    op.execute(
        "DELETE FROM users u WHERE u.role = 'system' "
        "AND NOT EXISTS (SELECT FROM wallets w WHERE w.user_id = u.id)"
    )
