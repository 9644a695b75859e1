"""PINs and the count of wrong tries"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("pin_hash", sa.Text))
    op.add_column(
        "users", sa.Column("pin_failures", sa.Integer, nullable=False, server_default="0")
    )
    op.add_column("users", sa.Column("pin_locked_until", sa.DateTime(timezone=True)))


def downgrade() -> None:
    for column in ("pin_locked_until", "pin_failures", "pin_hash"):
        op.drop_column("users", column)
