"""ledgers without records, and ledgers whose entries are chained by their hashes"""

import sqlalchemy as sa
from alembic import context, op

from engine.migrations.online import step_by_step
from engine.shape import Shape

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

HASHES = (
    "CREATE TABLE IF NOT EXISTS ledger_hashes (entry_id bigint PRIMARY KEY, hash bytea NOT NULL)"
)
# Reconciliation computes the same by itself: whoever changes rows could change this function too.
HASH_OF = """
CREATE OR REPLACE FUNCTION entry_hash(previous bytea, entry ledger_entries)
RETURNS bytea LANGUAGE sql STABLE AS $$
SELECT sha256(previous || convert_to(concat_ws('|', entry.wallet_id, entry.wallet_version,
    entry.transaction_id, entry.entry_type, entry.amount, entry.balance_after), 'UTF8'))
$$
"""
# An entry behind one that has no hash yet gets none either: the chain is continued from the first.
CHAIN = """
CREATE OR REPLACE FUNCTION chain_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    previous record;
BEGIN
    SELECT h.hash INTO previous
    FROM ledger_entries e LEFT JOIN ledger_hashes h ON h.entry_id = e.id
    WHERE e.wallet_id = NEW.wallet_id AND (e.wallet_version, e.id) < (NEW.wallet_version, NEW.id)
    ORDER BY e.wallet_version DESC, e.id DESC LIMIT 1;
    IF NOT FOUND OR previous.hash IS NOT NULL THEN
        INSERT INTO ledger_hashes (entry_id, hash)
        VALUES (NEW.id, entry_hash(coalesce(previous.hash, ''), NEW));
    END IF;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE OR REPLACE TRIGGER ledger_entries_chained AFTER INSERT ON ledger_entries
FOR EACH ROW EXECUTE FUNCTION chain_entry()
"""
# Under the wallet's lock, so that nobody adds to the chain meanwhile; so many entries at once.
CHAIN_OLD = """
CREATE OR REPLACE FUNCTION chain_old_entries(wallet bigint, at_once int)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    last ledger_entries;
    entry ledger_entries;
    previous bytea;
    done bigint := 0;
BEGIN
    PERFORM 1 FROM wallets WHERE id = wallet FOR NO KEY UPDATE;
    SELECT e.* INTO last FROM ledger_entries e JOIN ledger_hashes h ON h.entry_id = e.id
    WHERE e.wallet_id = wallet ORDER BY e.wallet_version DESC, e.id DESC LIMIT 1;
    previous := coalesce((SELECT hash FROM ledger_hashes WHERE entry_id = last.id), '');
    FOR entry IN SELECT * FROM ledger_entries e WHERE e.wallet_id = wallet
        AND (last.id IS NULL OR (e.wallet_version, e.id) > (last.wallet_version, last.id))
        ORDER BY e.wallet_version, e.id LIMIT at_once
    LOOP
        previous := entry_hash(previous, entry);
        INSERT INTO ledger_hashes (entry_id, hash) VALUES (entry.id, previous);
        done := done + 1;
    END LOOP;
    RETURN done;
END $$
"""
AT_ONCE = 2_000
WITHOUT_HASH = """
SELECT DISTINCT e.wallet_id FROM ledger_entries e
WHERE NOT EXISTS (SELECT FROM ledger_hashes h WHERE h.entry_id = e.id) ORDER BY 1
"""
HOLD_IS_RECORDED = "holds_id_fk"


def upgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    if shape.chained:
        with step_by_step():
            _chain(append_only=shape.constraints)
    if not shape.recorded_movements:
        # A hold has the id of its movement, of which nothing is recorded.
        op.execute(f"ALTER TABLE holds DROP CONSTRAINT IF EXISTS {HOLD_IS_RECORDED}")
    # Before, a database only noted whether its movements have legs.
    op.add_column("schema_shape", sa.Column("ledger", sa.Text))
    op.execute(sa.text("UPDATE schema_shape SET ledger = :ledger").bindparams(ledger=shape.ledger))
    op.alter_column("schema_shape", "ledger", nullable=False)


def _chain(*, append_only: bool) -> None:
    for statement in (HASHES, HASH_OF, CHAIN, TRIGGER, CHAIN_OLD):
        op.execute(statement)
    if append_only:
        op.execute(
            "CREATE OR REPLACE TRIGGER ledger_hashes_stay BEFORE UPDATE OR DELETE OR TRUNCATE "
            "ON ledger_hashes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON ledger_hashes FROM PUBLIC, CURRENT_USER")
    while _chain_old_entries():
        pass
    op.execute("DROP FUNCTION chain_old_entries")


def _chain_old_entries() -> bool:
    """Whether there were any.

    What was written without any lock may not fit into a chain, and is left to reconciliation.
    """
    connection = op.get_bind()
    piece = sa.text("SELECT chain_old_entries(:wallet, :at_once)")
    found = False
    for wallet in list(connection.scalars(sa.text(WITHOUT_HASH))):
        while connection.scalar(piece, {"wallet": wallet, "at_once": AT_ONCE}):
            found = True
    return found


def downgrade() -> None:
    shape: Shape = context.config.attributes["shape"]
    op.drop_column("schema_shape", "ledger")
    if shape.chained:
        op.execute("DROP TRIGGER ledger_entries_chained ON ledger_entries")
        op.execute("DROP FUNCTION chain_entry")
        op.execute("DROP FUNCTION entry_hash")
        op.drop_table("ledger_hashes")
    if shape.constraints and not shape.recorded_movements:
        # Those that are there have none.
        op.execute(
            f"ALTER TABLE holds ADD CONSTRAINT {HOLD_IS_RECORDED} "
            "FOREIGN KEY (id) REFERENCES transactions (id) NOT VALID"
        )
