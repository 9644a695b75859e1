"""What a movement's record says of the money, and the trigger that keeps it.

Columns that come with a later migration are facts, too: that migration makes the trigger anew with
them, and its downgrade without them, before they go.
"""

from collections.abc import Sequence

from alembic import op

from engine.shape import Shape

FACTS = ("id", "type", "from_wallet_id", "to_wallet_id", "amount", "timestamp")
"""Its status may still change."""
ONCE_FACTS = ("reverses_transaction_id", "campaign", "campaign_user_id")
HOLD_FACTS = ("settles_hold_id",)
TRIGGER = "transactions_keep_their_facts"


def is_append_only(shape: Shape) -> bool:
    return shape.double_entry and shape.constraints


def keep_facts(shape: Shape, *facts: Sequence[str]) -> None:
    """Nothing else. In a database transaction: never is there no trigger for others."""
    if not is_append_only(shape):
        return
    listed = ", ".join(column for columns in facts for column in columns)
    op.execute(f"DROP TRIGGER IF EXISTS {TRIGGER} ON transactions")
    op.execute(
        f"CREATE TRIGGER {TRIGGER} BEFORE UPDATE OF {listed} ON transactions "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
