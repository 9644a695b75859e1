"""Works: what clients meant, out of what they sent. All operations of one key and one set of
movements are one piece of work (`scenarios.invariants.observed.Work`), in SQL.

Nearly every key is used once, so only those that are not cost a grouping by their text: they are
found by a 64-bit hash of the key. Keys that merely share a hash are told apart after that.
"""

from scenarios.scale.store import Store

REPEATED = """
CREATE OR REPLACE TABLE repeated AS
SELECT hashed FROM operations WHERE hashed IS NOT NULL AND round IS NULL
GROUP BY hashed HAVING count(*) > 1
"""
SENT_AGAIN = """
CREATE OR REPLACE TABLE sent_again AS
SELECT m.operation, o.key, o.name, o.actor, o.answer_id, o.started_s, o.file, o.id, m.outcome,
       m.asked
FROM (
    SELECT operation, outcome,
           list({'payer': payer, 'payee': payee, 'amount': amount} ORDER BY position) AS asked
    FROM moves WHERE hashed IN (SELECT hashed FROM repeated)
    GROUP BY operation, outcome
) m JOIN (
    SELECT * FROM operations WHERE hashed IN (SELECT hashed FROM repeated)
) o ON o.number = m.operation
"""
TOGETHER = """
CREATE OR REPLACE TABLE together AS
SELECT min(operation) AS work, min(outcome) AS outcome, count(*) AS operations, key, asked
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
ASKED = """
CREATE OR REPLACE TABLE books AS
SELECT payer, payee, amount, CAST(sum(ok) AS BIGINT) AS required,
       CAST(sum(ok) + sum(open) AS BIGINT) AS possible, CAST(sum(done) AS BIGINT) AS recorded
FROM (
    SELECT payer, payee, amount, CASE outcome WHEN 0 THEN 1 ELSE 0 END AS ok,
           CASE outcome WHEN 1 THEN 1 ELSE 0 END AS open, 0 AS done
    FROM work_moves WHERE outcome < 2
    UNION ALL
    SELECT payer, payee, whole, 0, 0, 1 FROM effects WHERE judged AND whole IS NOT NULL
) GROUP BY payer, payee, amount
"""
"""By payer, payee and amount: how often acknowledged, how often at most, how often recorded."""
OPEN = """
CREATE OR REPLACE TABLE open_works AS
SELECT work, payer, payee, amount FROM work_moves WHERE outcome = 1
"""
PAYMENTS = """
SELECT (SELECT count(*) FROM operations WHERE name = 'transfer' AND outcome = 'ok'
        AND round IS NULL AND hashed NOT IN (SELECT hashed FROM repeated))
     + (SELECT count(DISTINCT key) FROM operations WHERE name = 'transfer' AND outcome = 'ok'
        AND round IS NULL AND hashed IN (SELECT hashed FROM repeated))
     + (SELECT CASE WHEN count(*) > 0 THEN 1 ELSE 0 END FROM operations
        WHERE name = 'transfer' AND outcome = 'ok' AND round IS NULL AND hashed IS NULL)
"""
"""Acknowledged ones, each counted once however often it was sent."""


def prepare(store: Store) -> None:
    """The tables that the claims are judged by."""
    for statement in (REPEATED, SENT_AGAIN, TOGETHER, WORK_MOVES, ASKED, OPEN):
        store.run(statement)


def payments(store: Store) -> int:
    (count,) = store.row(PAYMENTS)
    return int(count)
