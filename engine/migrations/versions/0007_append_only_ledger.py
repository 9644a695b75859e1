"""ledger rows that nobody changes any more"""

from alembic import context, op

from engine.migrations.append_only import FACTS, TRIGGER, is_append_only, keep_facts
from engine.shape import Shape

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The checkpoint of an explorer silences triggers (session_replication_role), so none is ALWAYS.
FUNCTION = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$
"""
TRIGGERS = (
    ("ledger_entries", "ledger_entries_stay", "UPDATE OR DELETE OR TRUNCATE"),
    ("transactions", "transactions_stay", "DELETE OR TRUNCATE"),
)
# Foreign keys that point here ask as the owner and need UPDATE: of transactions it stays.
REVOKED = (("ledger_entries", "UPDATE, DELETE, TRUNCATE"), ("transactions", "DELETE, TRUNCATE"))
# In the order of payments, or each would wait for the other in a circle, again and again.
LOCK = "LOCK TABLE transactions, ledger_entries IN ACCESS EXCLUSIVE MODE"


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    if not is_append_only(shape):
        return
    op.execute(FUNCTION)
    op.execute(LOCK)
    for table, name, events in TRIGGERS:
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {events} ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    keep_facts(shape, FACTS)
    for table, privileges in REVOKED:
        # The owner's own too: a superuser is stopped by the triggers alone.
        op.execute(f"REVOKE {privileges} ON {table} FROM PUBLIC, CURRENT_USER")


def downgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    if not is_append_only(shape):
        return
    for table, privileges in REVOKED:
        op.execute(f"GRANT {privileges} ON {table} TO CURRENT_USER")
    op.execute(LOCK)
    for table, name, _ in TRIGGERS:
        op.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")
    op.execute(f"DROP TRIGGER IF EXISTS {TRIGGER} ON transactions")
    op.execute("DROP FUNCTION IF EXISTS refuse_change()")
