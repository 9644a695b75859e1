"""The tables of a judge that looks on: what was read so far, and what has not been judged yet.

They have the names and columns of an archive, so that the same SQL judges them. Wallets become
`judged` as soon as a line names them, with everything that was read about them before.
"""

from decimal import Decimal

from attacks.history import PREPARATION
from scenarios.invariants.observed import shown
from scenarios.invariants.records import miscounted
from scenarios.scale.balances import WORST
from scenarios.scale.findings import Found, wallet_names
from scenarios.scale.store import Store

TABLES = (
    "CREATE TABLE wallets (number INTEGER, wallet VARCHAR, judged BOOLEAN, present BOOLEAN)",
    (
        "CREATE TABLE acknowledged (operation BIGINT, hashed UBIGINT, payer INTEGER, "
        "payee INTEGER, amount BIGINT, payment BOOLEAN, steps INTEGER)"
    ),
    "CREATE TABLE asked (work UBIGINT, payer INTEGER, payee INTEGER, amount BIGINT)",
    (
        "CREATE TABLE all_balances (wallet INTEGER, whole BIGINT, odd VARCHAR, "
        "may_be_negative BOOLEAN)"
    ),
    (
        "CREATE TABLE all_effects (effect VARCHAR, hashed UBIGINT, payer INTEGER, payee INTEGER, "
        "whole BIGINT, odd VARCHAR, key VARCHAR, hashed_key UBIGINT, step INTEGER)"
    ),
    (
        "CREATE TABLE all_legs (effect VARCHAR, hashed UBIGINT, wallet INTEGER, whole BIGINT, "
        "odd VARCHAR, after_whole BIGINT, after_odd VARCHAR, position BIGINT)"
    ),
    """
    CREATE VIEW effects AS
    SELECT e.*, coalesce(p.judged, false) OR coalesce(q.judged, false) AS judged,
           coalesce(p.judged AND p.present, false) AS payer_known,
           coalesce(q.judged AND q.present, false) AS payee_known
    FROM all_effects e LEFT JOIN wallets p ON p.number = e.payer
    LEFT JOIN wallets q ON q.number = e.payee""",
    (
        "CREATE VIEW legs AS SELECT l.*, w.judged FROM all_legs l "
        "JOIN wallets w ON w.number = l.wallet"
    ),
    (
        "CREATE VIEW balances AS SELECT b.*, w.judged FROM all_balances b "
        "JOIN wallets w ON w.number = b.wallet"
    ),
)
NEW_WALLETS = """
INSERT INTO wallets
SELECT (SELECT coalesce(max(number), 0) FROM wallets) + row_number() OVER (), wallet, false, false
FROM (SELECT DISTINCT wallet FROM ({named}) WHERE wallet IS NOT NULL
      AND wallet NOT IN (SELECT wallet FROM wallets))
"""
NAMED = """
SELECT side AS wallet FROM (
    SELECT unnest([move.payer, move.payee]) AS side
    FROM (SELECT unnest(moves) AS move FROM staged WHERE event IS NULL AND round IS NULL)
)
"""
NEW_LINES = (
    NEW_WALLETS.format(named=NAMED),
    f"UPDATE wallets SET judged = true WHERE NOT judged AND wallet IN ({NAMED})",
    f"""
    CREATE OR REPLACE TABLE fresh AS
    SELECT s.number AS operation, s.hashed, s.actor <> '{PREPARATION}' AS payment, s.moves
    FROM staged s WHERE s.event IS NULL AND s.outcome = 'ok' AND s.round IS NULL
    AND len(s.moves) > 0
    AND (s.hashed IS NULL OR s.hashed NOT IN (
        SELECT hashed FROM acknowledged WHERE hashed IS NOT NULL))
    QUALIFY s.hashed IS NULL OR row_number() OVER (PARTITION BY s.hashed ORDER BY s.number) = 1""",
    """
    INSERT INTO acknowledged
    SELECT f.operation, f.hashed, p.number, q.number, CAST(f.move.amount_minor AS BIGINT),
           f.payment, 0
    FROM (SELECT operation, hashed, payment, unnest(moves) AS move FROM fresh) f
    LEFT JOIN wallets p ON p.wallet = f.move.payer
    LEFT JOIN wallets q ON q.wallet = f.move.payee""",
    """
    INSERT INTO asked
    SELECT f.work, p.number, q.number, CAST(f.move.amount_minor AS BIGINT)
    FROM (
        SELECT work, unnest(moves) AS move FROM (
            SELECT s.number, s.moves,
                   CASE WHEN s.hashed IS NOT NULL THEN hash(s.hashed, s.moves) END AS work
            FROM staged s WHERE s.event IS NULL AND s.outcome <> 'failed' AND s.round IS NULL
            AND len(s.moves) > 0
        ) WHERE work IS NULL OR work NOT IN (SELECT work FROM asked WHERE work IS NOT NULL)
        QUALIFY work IS NULL OR row_number() OVER (PARTITION BY work ORDER BY number) = 1
    ) f LEFT JOIN wallets p ON p.wallet = f.move.payer
    LEFT JOIN wallets q ON q.wallet = f.move.payee""",
)
"""Of each key the first acknowledgement counts. That other ones came is for the end to judge.
What may have happened was asked for once a key, however often it was sent."""
KNOWN = """
SELECT wallet FROM raw_balances UNION SELECT wallet FROM raw_legs
UNION SELECT payer FROM raw_effects UNION SELECT payee FROM raw_effects
"""
NEW_ROWS = (
    NEW_WALLETS.format(named=KNOWN),
    (
        "UPDATE wallets SET present = true WHERE NOT present AND wallet IN "
        "(SELECT wallet FROM raw_balances)"
    ),
    "DELETE FROM all_balances",
    (
        "INSERT INTO all_balances SELECT w.number, b.whole, b.odd, b.may_be_negative "
        "FROM raw_balances b JOIN wallets w USING (wallet)"
    ),
    (
        "DELETE FROM all_effects WHERE hashed IN (SELECT hash(effect) FROM raw_effects) "
        "AND effect IN (SELECT effect FROM raw_effects)"
    ),
    """
    INSERT INTO all_effects
    SELECT e.effect, hash(e.effect), p.number, q.number, e.whole, e.odd, e.key, hash(e.key), {step}
    FROM raw_effects e LEFT JOIN wallets p ON p.wallet = e.payer
    LEFT JOIN wallets q ON q.wallet = e.payee""",
    (
        "DELETE FROM all_legs WHERE hashed IN (SELECT hash(effect) FROM raw_legs) "
        "AND (effect, position) IN (SELECT (effect, position) FROM raw_legs)"
    ),
    """
    INSERT INTO all_legs
    SELECT l.effect, hash(l.effect), w.number, l.whole, l.odd, l.after_whole, l.after_odd,
           l.position
    FROM raw_legs l JOIN wallets w USING (wallet)""",
)
"""A row that comes again was changed: it takes the place of the old one."""
SETTLED = "UPDATE acknowledged SET steps = steps + 1 WHERE steps < 2"
MISSING = """
SELECT payer, payee, amount, recorded, required FROM (
    SELECT payer, payee, amount, sum(done) AS recorded, sum(ok) AS required FROM (
        SELECT payer, payee, amount, 1 AS ok, 0 AS done FROM acknowledged
        WHERE steps > 0 AND hash(payer, payee, amount) IN (
            SELECT hash(payer, payee, amount) FROM acknowledged WHERE steps = 1)
        UNION ALL
        SELECT payer, payee, whole, 0, 1 FROM all_effects
        WHERE hash(payer, payee, whole) IN (
            SELECT hash(payer, payee, amount) FROM acknowledged WHERE steps = 1)
    ) GROUP BY payer, payee, amount
) WHERE recorded < required
"""
"""Of what was acknowledged before the last step: it had all the time since then, for there are
builds that answer a moment before they commit. What was there once is still there."""
TWICE = """
SELECT e.payer, e.payee, e.whole, e.times, a.times AS asked FROM (
    SELECT key, hashed_key, payer, payee, whole, count(*) AS times FROM all_effects
    WHERE hashed_key IN (
        SELECT hashed_key FROM all_effects WHERE step = {step} AND hashed_key IS NOT NULL
        UNION SELECT hashed FROM acknowledged WHERE steps = 0 AND hashed IS NOT NULL)
    GROUP BY key, hashed_key, payer, payee, whole HAVING count(*) > 1
) e JOIN (
    SELECT hashed, payer, payee, amount, count(*) AS times FROM acknowledged
    GROUP BY hashed, payer, payee, amount
) a ON a.hashed = e.hashed_key AND a.payer IS NOT DISTINCT FROM e.payer
AND a.payee IS NOT DISTINCT FROM e.payee AND a.amount = e.whole
WHERE e.times > a.times
"""
"""Keys that were acknowledged and have more than they asked for."""
UNASKED = """
SELECT payer, payee, amount, recorded, asked FROM (
    SELECT payer, payee, amount, sum(done) AS recorded, sum(wanted) AS asked FROM (
        SELECT payer, payee, whole AS amount, 1 AS done, 0 AS wanted FROM effects
        WHERE judged AND step <= {until} AND hash(payer, payee, whole) IN ({due})
        UNION ALL
        SELECT payer, payee, amount, 0, 1 FROM asked WHERE hash(payer, payee, amount) IN ({due})
    ) GROUP BY payer, payee, amount
) WHERE recorded > asked
"""
DUE = """
SELECT hash(payer, payee, whole) FROM all_effects
WHERE step > {since} AND step <= {until} AND whole IS NOT NULL
"""
"""Records so old that every request which may have made them is in a line by now."""
UNEXPLAINED = """
SELECT b.wallet, b.whole AS holds, b.odd, coalesce(r.recorded, 0) AS recorded
FROM balances b LEFT JOIN (
    SELECT wallet, sum(change) AS recorded, bool_or(change IS NULL) AS odd FROM (
        SELECT payee AS wallet, CAST(whole AS HUGEINT) AS change FROM all_effects
        WHERE payee IS NOT NULL
        UNION ALL SELECT payer, -CAST(whole AS HUGEINT) FROM all_effects WHERE payer IS NOT NULL
    ) GROUP BY wallet
) r ON r.wallet = b.wallet
WHERE b.judged AND NOT coalesce(r.odd, false)
AND (b.whole IS NULL OR b.whole <> coalesce(r.recorded, 0))
"""


def create(store: Store) -> None:
    for statement in TABLES:
        store.run(statement)


def take_rows(store: Store, step: int, *, again: bool) -> None:
    """Take what `load_truth` has read. `again`: it is everything, not only what is new."""
    if again:
        store.run("DELETE FROM all_effects")
        store.run("DELETE FROM all_legs")
    for statement in NEW_ROWS:
        store.run(statement.format(step=step))


def settle(store: Store) -> None:
    """A step is over."""
    store.run(SETTLED)


def acknowledged(store: Store) -> int:
    (count,) = store.row("SELECT count(DISTINCT operation) FROM acknowledged WHERE payment")
    return int(count)


def missing(store: Store) -> Found:
    """What was acknowledged is recorded."""
    (count,) = store.row(f"SELECT count(*) FROM ({MISSING})")
    if not count:
        return Found()
    payer, payee, amount, recorded, required = store.row(f"{MISSING} LIMIT 1")
    names = wallet_names(store, payer, payee)
    signature = names[payer], names[payee], Decimal(amount)
    counts = recorded, required, required
    return Found(count=count, first=miscounted(signature, counts, works=1, requests=1))


def unasked(store: Store, since: int, until: int) -> Found:
    """What is recorded was asked for: of the records of the steps after `since` until `until`."""
    due = DUE.format(since=since, until=until)
    query = UNASKED.format(due=due, until=until)
    (count,) = store.row(f"SELECT count(*) FROM ({query})")
    if not count:
        return Found()
    payer, payee, amount, recorded, asked = store.row(f"{query} LIMIT 1")
    names = wallet_names(store, payer, payee)
    signature = names[payer], names[payee], Decimal(amount)
    counts = recorded, asked, asked
    return Found(count=count, first=miscounted(signature, counts, works=asked, requests=asked))


def twice(store: Store, step: int) -> Found:
    """A key has what it asked for, once: keys with a record that is new in this step."""
    query = TWICE.format(step=step)
    (count,) = store.row(f"SELECT count(*) FROM ({query})")
    if not count:
        return Found()
    payer, payee, amount, times, asked = store.row(f"{query} LIMIT 1")
    names = wallet_names(store, payer, payee)
    signature = names[payer], names[payee], Decimal(amount)
    return Found(
        count=count, first=miscounted(signature, (times, asked, asked), works=1, requests=2)
    )


def records_explain(store: Store) -> Found:
    """A balance is what its recorded movements add up to."""
    (count,) = store.row(f"SELECT count(*) FROM ({UNEXPLAINED})")
    if not count:
        return Found()
    query = f"SELECT * FROM ({UNEXPLAINED}) {WORST.format(by='recorded')} LIMIT 1"
    wallet, holds, odd, recorded = store.row(query)
    name = wallet_names(store, wallet)[wallet]
    held = shown(Decimal(odd if holds is None else holds))
    return Found(
        count=count,
        first=f"By the recorded movements wallet {name} should hold {shown(recorded)}, but it "
        f"holds {held}.",
    )
