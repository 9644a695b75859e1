"""Works: what clients meant, out of what they sent. All operations of one key and one set of
movements are one piece of work (`scenarios.invariants.observed.Work`), in SQL.

Nearly every key is used once, so only those that are not cost a grouping by their text: they are
found by a 64-bit hash of the key. Keys that merely share a hash are told apart after that.
"""

from attacks.history import PREPARATION
from scenarios.scale.store import Store

PARTS = 2**17
"""So many that few have something open in them."""
REPEATED = """
CREATE OR REPLACE TABLE repeated AS
SELECT hashed FROM operations WHERE hashed IS NOT NULL AND round IS NULL
GROUP BY hashed HAVING count(*) > 1
"""
AGAIN_OPERATIONS = """
CREATE OR REPLACE TABLE again_operations AS
SELECT number AS operation, key, name, actor, answer_id FROM operations
WHERE hashed IN (SELECT hashed FROM repeated) AND moves > 0 AND round IS NULL
"""
AGAIN_MOVES = """
CREATE OR REPLACE TABLE again_moves AS
SELECT operation, outcome, position, of,
       {'payer': payer, 'payee': payee, 'amount': amount} AS move
FROM moves WHERE hashed IN (SELECT hashed FROM repeated)
"""
SENT_AGAIN = """
CREATE OR REPLACE TABLE sent_again AS
SELECT operation, o.key, o.name, o.actor, o.answer_id, m.outcome, m.asked
FROM (
    SELECT operation, outcome, [move] AS asked FROM again_moves WHERE of = 1
    UNION ALL
    SELECT operation, outcome, list(move ORDER BY position) FROM again_moves WHERE of > 1
    GROUP BY operation, outcome
) m JOIN again_operations o USING (operation)
"""
"""Both sides are cut down first: a join of all with all spills, and takes four times as long."""
TOGETHER = f"""
CREATE OR REPLACE TABLE together AS
SELECT min(operation) AS work, min(outcome) AS outcome, count(*) AS operations, key, asked,
       bool_and(actor = '{PREPARATION}') AS prepared
FROM sent_again GROUP BY key, asked
"""
WORK_MOVES = """
CREATE OR REPLACE VIEW work_moves AS
SELECT operation AS work, outcome, payer, payee, amount FROM moves
WHERE hashed IS NULL OR hashed NOT IN (SELECT hashed FROM repeated)
UNION ALL
SELECT t.work, t.outcome, m.payer, m.payee, m.amount
FROM moves m JOIN together t ON m.operation = t.work
"""
"""What each piece of work was to move, with its best outcome: 0 ok, 1 unknown, 2 failed."""
MOVEMENTS = """
    SELECT payer, payee, amount, CASE outcome WHEN 0 THEN 1 ELSE 0 END AS ok,
           CASE outcome WHEN 1 THEN 1 ELSE 0 END AS open, 0 AS done
    FROM work_moves WHERE outcome < 2
    UNION ALL
    SELECT payer, payee, whole, 0, 0, 1 FROM effects WHERE judged AND whole IS NOT NULL
"""
"""Each movement that was asked for, and each that is recorded."""
DOUBTFUL_PARTS = f"""
CREATE OR REPLACE TABLE doubtful_parts AS
SELECT part FROM (
    SELECT hash(payer, payee, amount) % {PARTS} AS part, ok, open, done,
           hash(payer, payee, amount) AS one, hash(amount, payee, payer) AS two
    FROM ({MOVEMENTS})
) GROUP BY part HAVING sum(open) > 0 OR sum(ok) <> sum(done)
OR sum(CASE ok WHEN 1 THEN one ELSE 0 END) <> sum(CASE done WHEN 1 THEN one ELSE 0 END)
OR sum(CASE ok WHEN 1 THEN two ELSE 0 END) <> sum(CASE done WHEN 1 THEN two ELSE 0 END)
"""
"""Parts in which what was acknowledged and what is recorded are different multisets, or something
is open. They are compared as those of `ledger` are."""
BOOKS = f"""
CREATE OR REPLACE TABLE books AS
SELECT payer, payee, amount, CAST(sum(ok) AS BIGINT) AS required,
       CAST(sum(ok) + sum(open) AS BIGINT) AS possible, CAST(sum(done) AS BIGINT) AS recorded
FROM ({MOVEMENTS})
WHERE hash(payer, payee, amount) % {PARTS} IN (SELECT part FROM doubtful_parts)
GROUP BY payer, payee, amount
"""
"""By payer, payee and amount: how often acknowledged, how often at most, how often recorded; only
where that is not the same anyway."""
OPEN = """
CREATE OR REPLACE TABLE open_works AS
SELECT work, payer, payee, amount FROM work_moves WHERE outcome = 1
"""
STATEMENTS = (
    REPEATED,
    AGAIN_OPERATIONS,
    AGAIN_MOVES,
    SENT_AGAIN,
    TOGETHER,
    WORK_MOVES,
    DOUBTFUL_PARTS,
    BOOKS,
    OPEN,
)
PAYMENTS = f"""
SELECT (SELECT count(*) FROM operations WHERE outcome = 'ok' AND moves > 0 AND round IS NULL
        AND actor <> '{PREPARATION}'
        AND (hashed IS NULL OR hashed NOT IN (SELECT hashed FROM repeated)))
     + (SELECT count(*) FROM together WHERE outcome = 0 AND NOT prepared)
"""
"""Works that moved money and were acknowledged, each counted once however often it was sent."""


def prepare(store: Store) -> None:
    """The tables that the claims are judged by."""
    for statement in STATEMENTS:
        store.run(statement)


def payments(store: Store) -> int:
    (count,) = store.row(PAYMENTS)
    return int(count)
