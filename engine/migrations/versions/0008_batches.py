"""batch payouts and their rows"""

import sqlalchemy as sa
from alembic import context, op

from engine.shape import Shape

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATES = "'PENDING', 'PROCESSING', 'COMPLETED', 'PARTIALLY_FAILED', 'FAILED'"
ROW_STATES = "'PENDING', 'PAID', 'REFUSED', 'COMPENSATED'"


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    _create_batches(shape)
    _create_rows(shape)
    # In every shape, as the primary key of idempotency_keys is: ON CONFLICT needs it.
    op.execute("CREATE UNIQUE INDEX batches_key ON batches (coalesce(user_id, 0), idempotency_key)")
    op.create_index("batches_user_id", "batches", ["user_id", "id"])
    if not shape.constraints:
        return
    op.create_check_constraint("batches_status_known", "batches", f"status IN ({STATES})")
    op.create_check_constraint("batch_rows_status_known", "batch_rows", f"status IN ({ROW_STATES})")
    op.create_check_constraint("batch_rows_amount_positive", "batch_rows", "amount > 0")
    op.create_foreign_key(
        "batches_source_wallet_id_fk", "batches", "wallets", ["source_wallet_id"], ["id"]
    )
    op.create_foreign_key("batch_rows_batch_id_fk", "batch_rows", "batches", ["batch_id"], ["id"])


def _create_batches(shape: Shape) -> None:
    counts = ("item_count", "success_count", "failure_count", "compensated_count")
    op.create_table(
        "batches",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.BigInteger),
        sa.Column("source_wallet_id", sa.BigInteger, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("status", sa.Text, nullable=False, server_default="PENDING"),
        sa.Column("total_amount", shape.money_column(), nullable=False, server_default="0"),
        *(sa.Column(name, sa.Integer, nullable=False, server_default="0") for name in counts),
        sa.Column("last_processed_row", sa.Integer, nullable=False, server_default="0"),
        sa.Column("file_sha256", sa.Text),
        sa.Column("lease_token", sa.Uuid),
        sa.Column("lease_holder", sa.Text),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column(
            "timestamp", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
    )


def _create_rows(shape: Shape) -> None:
    op.create_table(
        "batch_rows",
        sa.Column("batch_id", sa.BigInteger, primary_key=True),
        sa.Column("row_index", sa.Integer, primary_key=True),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("recipient_id", sa.BigInteger, nullable=False),
        sa.Column("amount", shape.money_column(), nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default="PENDING"),
        sa.Column("transaction_id", sa.Uuid),
        sa.Column("compensation_id", sa.Uuid),
        sa.Column("error", sa.Text),
    )


def downgrade() -> None:
    for table in ("batch_rows", "batches"):
        op.drop_table(table)
