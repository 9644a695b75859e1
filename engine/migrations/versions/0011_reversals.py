"""what only one movement may ever do: a reversal, a bonus of a campaign"""

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError

from engine.migrations.append_only import FACTS, ONCE_FACTS, keep_facts
from engine.migrations.online import add_foreign_key, create_index, step_by_step
from engine.shape import Shape

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ONCE = (
    ("transactions_reversed_once", ("reverses_transaction_id",)),
    ("transactions_granted_once", ("campaign", "campaign_user_id")),
)
MARKED = """
SELECT EXISTS (SELECT FROM transactions WHERE reverses_transaction_id IS NOT NULL)
    OR EXISTS (SELECT FROM transactions WHERE campaign IS NOT NULL)
"""


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    with step_by_step():
        op.execute(
            "ALTER TABLE transactions ADD COLUMN IF NOT EXISTS reverses_transaction_id uuid, "
            "ADD COLUMN IF NOT EXISTS campaign text, "
            "ADD COLUMN IF NOT EXISTS campaign_user_id bigint"
        )
        for name, columns in ONCE:
            # Partial: a movement that is none of these costs nothing here.
            marked = f"{columns[0]} IS NOT NULL"
            create_index("transactions", name, columns, unique=shape.constraints, where=marked)
        if shape.constraints:
            add_foreign_key("transactions", "reverses_transaction_id", "transactions")
            add_foreign_key("transactions", "campaign_user_id", "users")
    keep_facts(shape, FACTS, ONCE_FACTS)


def downgrade() -> None:
    # Nobody marks another one meanwhile. In the order of payments: no circle.
    op.execute("LOCK TABLE users, transactions IN ACCESS EXCLUSIVE MODE")
    if op.get_bind().execute(sa.text(MARKED)).scalar():
        raise CommandError(
            "movements are marked as reversals or as bonuses of a campaign, and without the marks "
            "each could happen again"
        )
    keep_facts(context.config.attributes["shape"], FACTS)
    # Constraints and indexes go with their columns.
    for column in ONCE_FACTS:
        op.drop_column("transactions", column)
