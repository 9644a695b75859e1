"""Ledger legs prove the balances, in SQL and without sorting: each movement has the legs that it
should, `balance_after` chains without a gap or a double, and ends at the balance.

Both are questions of whether two multisets are equal, and these are compared by the sums of two
64-bit hashes of their members (Clarke, Devadas, van Dijk, Gassend, Suh: Incremental Multiset Hash
Functions, 2003). Equal ones have equal sums, so nobody is accused wrongly; different ones pass with
a chance of about 2⁻¹²⁸ each, if nobody chose the ids to that end. The multisets:

- of all movements what their legs should be, and the legs. In parts, so that after a difference
  only some of them are looked at one by one;
- of each wallet what every leg leaves at its position, with nothing before the first; and what
  every leg found, said of the position before it, with the balance at the last. They are equal
  exactly when the positions are one after the other and each leg begins where the last one ended.
"""

from collections.abc import Iterable
from decimal import Decimal

from scenarios.invariants.observed import shown, total_of
from scenarios.scale.findings import Found, wallet_names
from scenarios.scale.store import Store

PARTS = 4096
SIDES = """
    SELECT effect, hashed, payee AS wallet, whole,
           CASE odd WHEN 'NaN' THEN 'no amount' ELSE odd END AS odd, 1 AS due
    FROM effects WHERE judged AND payee_known
    UNION ALL
    SELECT effect, hashed, payer, -whole, CASE WHEN odd LIKE '-%' THEN substr(odd, 2)
           WHEN odd = 'NaN' THEN 'no amount' ELSE '-' || odd END, 1
    FROM effects WHERE judged AND payer_known
    UNION ALL
    SELECT effect, hashed, wallet, whole, odd, -1 FROM legs WHERE judged
"""
"""What legs there should be (1) and what legs there are (-1). NaN is equal to nothing."""
DIFFERENT_PARTS = f"""
SELECT part FROM (
    SELECT hashed % {PARTS} AS part, due,
           hash(hashed, wallet, whole, odd) AS one, hash(odd, whole, wallet, hashed) AS two
    FROM ({SIDES})
) GROUP BY part HAVING sum(due) <> 0
OR sum(CASE due WHEN 1 THEN CAST(one AS HUGEINT) ELSE -CAST(one AS HUGEINT) END) <> 0
OR sum(CASE due WHEN 1 THEN CAST(two AS HUGEINT) ELSE -CAST(two AS HUGEINT) END) <> 0
"""
TORN = f"""
SELECT DISTINCT effect FROM (
    SELECT effect FROM ({SIDES}) WHERE hashed % {PARTS} IN (SELECT part FROM different_parts)
    GROUP BY effect, wallet, whole, odd HAVING sum(due) <> 0
)
"""
CHAINS = """
SELECT wallet, count(*) AS legs, min(position) AS first, max(position) AS last,
       count(*) FILTER (whole IS NULL) AS odd_amounts,
       count(*) FILTER (after_whole IS NULL) AS odd_after,
       sum(hash(position, CAST(after_whole AS HUGEINT))) AS left_one,
       sum(hash(CAST(after_whole AS HUGEINT), position)) AS left_two,
       sum(hash(position - 1, CAST(after_whole AS HUGEINT) - whole)) AS found_one,
       sum(hash(CAST(after_whole AS HUGEINT) - whole, position - 1)) AS found_two
FROM legs WHERE judged GROUP BY wallet
"""
BROKEN = f"""
CREATE OR REPLACE TABLE broken AS
SELECT b.wallet, coalesce(c.odd_amounts, 0) > 0 AS doubtful
FROM balances b LEFT JOIN ({CHAINS}) c ON c.wallet = b.wallet
WHERE b.judged AND (
    (c.wallet IS NULL AND (b.whole IS NULL OR b.whole <> 0))
    OR c.odd_amounts > 0 OR c.odd_after > 0 OR (c.wallet IS NOT NULL AND b.whole IS NULL)
    OR left_one + hash(first - 1, CAST(0 AS HUGEINT))
       <> found_one + hash(last, CAST(b.whole AS HUGEINT))
    OR left_two + hash(CAST(0 AS HUGEINT), first - 1)
       <> found_two + hash(CAST(b.whole AS HUGEINT), last)
)
"""
"""Doubtful: amounts that are no whole number of minor units have to be added up one by one."""
LEGS_OF = """
SELECT position, coalesce(CAST(whole AS VARCHAR), odd),
       coalesce(CAST(after_whole AS VARCHAR), after_odd)
FROM legs WHERE judged AND wallet = ? ORDER BY position
"""


def legs_and_balances(store: Store) -> Found:
    """Each movement has legs that cancel; each balance equals its legs; `balance_after` chains."""
    torn, chains = legs_are_whole(store), legs_chain(store)
    return Found(count=torn.count + chains.count, first=torn.first or chains.first)


def legs_are_whole(store: Store) -> Found:
    store.run(f"CREATE OR REPLACE TABLE different_parts AS {DIFFERENT_PARTS}")
    if store.row("SELECT count(*) FROM different_parts") == (0,):
        return Found()
    (count,) = store.row(f"SELECT count(*) FROM ({TORN})")
    if not count:
        return Found()
    (first,) = store.row(f"SELECT min(effect) FROM ({TORN})")
    return Found(count=count, first=_torn(store, first))


def legs_chain(store: Store) -> Found:
    store.run(BROKEN)
    count, first = 0, ""
    for wallet, amount, doubtful in store.rows(
        "SELECT wallet, coalesce(CAST(whole AS VARCHAR), odd), doubtful FROM broken "
        "JOIN balances USING (wallet) ORDER BY doubtful, wallet"
    ):
        if count and not doubtful:
            count += 1
            continue
        name = wallet_names(store, wallet)[wallet] or ""
        words = chain_break(name, store.stream(LEGS_OF, wallet), Decimal(amount))
        count, first = count + bool(words), first or words
    return Found(count=count, first=first)


def chain_break(wallet: str, legs: Iterable[tuple[int, str, str]], amount: Decimal) -> str:
    """What is wrong with a wallet's legs (position, amount, balance after); empty if nothing."""
    running, expected = Decimal(0), None  # Wallets begin empty.
    numbering = ""
    for position, change, after in legs:
        running = total_of((running, Decimal(change)))
        if running != Decimal(after):
            return (
                f"Wallet {wallet}: after leg {position} the legs add up to {shown(running)}, the "
                f"ledger says {shown(Decimal(after))}."
            )
        if expected not in (None, position):
            numbering = f"Wallet {wallet} has a gap or a double in the numbering of its legs."
        expected = position + 1
    if numbering or running == amount:
        return numbering
    return f"Wallet {wallet} holds {shown(amount)}, its legs add up to {shown(running)}."


def _torn(store: Store, effect: str) -> str:
    legs = store.rows(
        "SELECT wallet, coalesce(CAST(whole AS VARCHAR), odd) FROM legs "
        "WHERE judged AND effect = ? ORDER BY position",
        effect,
    )
    movements = store.rows(
        "SELECT coalesce(CAST(whole AS VARCHAR), odd) FROM effects WHERE judged AND effect = ?",
        effect,
    )
    if movements:
        amount = shown(Decimal(movements[0][0]))
        return f"Movement {effect} of {amount} has {len(legs)} legs that do not say what it did."
    wallet, amount = legs[0]
    name = wallet_names(store, wallet)[wallet]
    return f"A leg of {shown(Decimal(amount))} of wallet {name} belongs to no recorded movement."
