"""Proving every balance from the records, in one snapshot and in bounded memory.

Everything is compared by the database, a range of rows at a time, and only the first row that
disagrees is fetched. A range keeps each statement short: a ledger grows, time-outs do not.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.money import json_number

WALLETS_AT_ONCE = 50_000
ROWS_AT_ONCE = 100_000
ONE_SNAPSHOT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

SIGNED = "CASE WHEN entry_type = 'CREDIT' THEN amount ELSE -amount END"
CHAINS = f"""
SELECT CASE WHEN wallet_version <> next_version THEN 'wallet_version' ELSE 'balance_after' END
           AS what,
       wallet_id, id AS entry_id, transaction_id,
       CASE WHEN wallet_version <> next_version THEN next_version ELSE next_balance END AS expected,
       CASE WHEN wallet_version <> next_version THEN wallet_version ELSE balance_after END AS found
FROM (SELECT id, wallet_id, transaction_id, wallet_version, balance_after,
             1 + lag(wallet_version, 1, 0::bigint) OVER chain AS next_version,
             {SIGNED} + coalesce(lag(balance_after) OVER chain, 0) AS next_balance
      FROM ledger_entries WHERE wallet_id BETWEEN :first AND :last
      WINDOW chain AS (PARTITION BY wallet_id ORDER BY wallet_version, id)) entries
WHERE wallet_version <> next_version OR balance_after <> next_balance
ORDER BY wallet_id, wallet_version, id LIMIT 1
"""  # noqa: S608 - of our own constants
# Not by the function that made them: whoever changes rows could change that one, too.
HASHES = """
SELECT 'hash' AS what, wallet_id, id AS entry_id, transaction_id, expected, found
FROM (SELECT e.id, e.wallet_id, e.transaction_id, e.wallet_version, encode(h.hash, 'hex') AS found,
             encode(sha256(coalesce(lag(h.hash) OVER chain, '') || convert_to(concat_ws('|',
                 e.wallet_id, e.wallet_version, e.transaction_id, e.entry_type, e.amount,
                 e.balance_after), 'UTF8')), 'hex') AS expected
      FROM ledger_entries e LEFT JOIN ledger_hashes h ON h.entry_id = e.id
      WHERE e.wallet_id BETWEEN :first AND :last
      WINDOW chain AS (PARTITION BY e.wallet_id ORDER BY e.wallet_version, e.id)) entries
WHERE found IS DISTINCT FROM expected ORDER BY wallet_id, wallet_version, id LIMIT 1
"""
HASHES_OF_NOTHING = """
SELECT 'entry' AS what, NULL AS wallet_id, h.entry_id, NULL AS transaction_id,
       1 AS expected, 0 AS found
FROM ledger_hashes h
WHERE h.entry_id BETWEEN :first AND :last
  AND NOT EXISTS (SELECT FROM ledger_entries e WHERE e.id = h.entry_id)
ORDER BY h.entry_id LIMIT 1
"""
BALANCES_BY_LEGS = """
SELECT 'balance' AS what, w.id AS wallet_id, newest.id AS entry_id, newest.transaction_id,
       coalesce(newest.balance_after, 0) AS expected, w.balance AS found
FROM wallets w LEFT JOIN LATERAL (
    SELECT e.id, e.transaction_id, e.balance_after FROM ledger_entries e WHERE e.wallet_id = w.id
    ORDER BY e.wallet_version DESC, e.id DESC LIMIT 1
) newest ON true
WHERE w.id BETWEEN :first AND :last AND w.balance <> coalesce(newest.balance_after, 0)
ORDER BY w.id LIMIT 1
"""
BALANCES_BY_TRANSACTIONS = """
SELECT 'balance' AS what, id AS wallet_id, NULL AS entry_id, NULL AS transaction_id,
       expected, balance AS found
FROM (SELECT w.id, w.balance,
             coalesce((SELECT sum(t.amount) FROM transactions t
                       WHERE t.to_wallet_id = w.id AND t.status = 'COMPLETED'), 0)
           - coalesce((SELECT sum(t.amount) FROM transactions t
                       WHERE t.from_wallet_id = w.id AND t.status = 'COMPLETED'), 0) AS expected
      FROM wallets w WHERE w.id BETWEEN :first AND :last) wallets
WHERE balance <> expected ORDER BY id LIMIT 1
"""
LEGS_OF_TRANSACTIONS = f"""
SELECT 'legs' AS what, coalesce(t.from_wallet_id, t.to_wallet_id) AS wallet_id, NULL AS entry_id,
       t.id AS transaction_id, num_nonnulls(t.from_wallet_id, t.to_wallet_id) AS expected,
       legs.matching AS found
FROM transactions t, LATERAL (
    -- Less those that do not fit, or fit a second time.
    SELECT 2 * count(DISTINCT wallet_id) FILTER (WHERE fits) - count(*) AS matching
    FROM (SELECT e.wallet_id, (e.wallet_id, {SIGNED}) IN ((t.from_wallet_id, -t.amount),
                                             (t.to_wallet_id, t.amount)) IS TRUE AS fits
          FROM (SELECT wallet_id, entry_type, amount FROM ledger_entries
                WHERE transaction_id = t.id) e) each
) legs
WHERE t.id > :after AND (:until IS NULL OR t.id <= :until) AND t.status = 'COMPLETED'
  AND legs.matching <> num_nonnulls(t.from_wallet_id, t.to_wallet_id)
ORDER BY t.id LIMIT 1
"""  # noqa: S608 - of our own constants
ORPHANS = """
SELECT 'transaction' AS what, e.wallet_id, e.id AS entry_id, e.transaction_id,
       1 AS expected, 0 AS found
FROM ledger_entries e
WHERE e.id BETWEEN :first AND :last
  AND NOT EXISTS (SELECT FROM transactions t WHERE t.id = e.transaction_id)
ORDER BY e.id LIMIT 1
"""
BALANCES_BY_ASSET = """
SELECT asset_type_id, sum(balance) FROM wallets WHERE id BETWEEN :first AND :last GROUP BY 1
"""
LEGS_BY_ASSET = f"""
SELECT w.asset_type_id, sum({SIGNED})
FROM ledger_entries e JOIN wallets w ON w.id = e.wallet_id
WHERE e.id BETWEEN :first AND :last GROUP BY 1
"""  # noqa: S608 - of our own constants
NEXT_TRANSACTION = sa.text(
    "SELECT id FROM transactions WHERE id > :after ORDER BY id OFFSET :rows LIMIT 1"
).columns(id=sa.Uuid)
BEFORE_ALL = uuid.UUID(int=0)


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """Every balance against what the records say it should be."""

    wallets: int
    first_difference: dict[str, Any] | None
    """The first row that disagrees: what of it, whose, what was expected and what was found."""


def reconcile(session: Session, *, legs: bool, chained: bool = False) -> Reconciliation:
    """Compare everything as of one moment. The session is in no database transaction yet.

    Where legs are `chained` by their hashes, a history that was rewritten consistently is found,
    too.
    """
    session.connection(execution_options=ONE_SNAPSHOT)
    wallets = session.scalar(sa.text("SELECT count(*) FROM wallets")) or 0
    if legs:
        found = _by_legs(session, chained=chained)
    else:
        found = _in_ranges(session, BALANCES_BY_TRANSACTIONS, "wallets")
    return Reconciliation(wallets=wallets, first_difference=next(found, None))


def _by_legs(session: Session, *, chained: bool) -> Iterator[dict[str, Any]]:
    """First what made a balance wrong, then the balance: the first row is the cause."""
    yield from _in_ranges(session, CHAINS, "wallets")
    if chained:
        yield from _in_ranges(session, HASHES, "wallets")
        yield from _in_ranges(session, HASHES_OF_NOTHING, "ledger_hashes", by="entry_id")
    yield from _in_ranges(session, BALANCES_BY_LEGS, "wallets")
    yield from _transaction_by_transaction(session)
    yield from _in_ranges(session, ORPHANS, "ledger_entries")


def _in_ranges(
    session: Session, query: str, table: str, *, by: str = "id"
) -> Iterator[dict[str, Any]]:
    for bounds in _ranges(session, table, by=by):
        yield from _difference(session, query, **bounds)


def _ranges(session: Session, table: str, *, by: str = "id") -> Iterator[dict[str, int]]:
    """From `first` to `last`, both included: all ids of a table, so many at a time."""
    at_once = WALLETS_AT_ONCE if table == "wallets" else ROWS_AT_ONCE
    largest = session.scalar(sa.text(f"SELECT max({by}) FROM {table}")) or 0  # noqa: S608
    for first in range(0, largest + 1, at_once):
        yield {"first": first, "last": first + at_once - 1}


def _transaction_by_transaction(session: Session) -> Iterator[dict[str, Any]]:
    query = LEGS_OF_TRANSACTIONS.replace(":after", "CAST(:after AS uuid)").replace(
        ":until", "CAST(:until AS uuid)"
    )
    after: uuid.UUID | None = BEFORE_ALL
    while after is not None:
        bounds = {"after": after, "rows": ROWS_AT_ONCE - 1}
        until = session.scalar(NEXT_TRANSACTION, bounds)
        yield from _difference(
            session, query, after=str(after), until=None if until is None else str(until)
        )
        after = until


def _difference(session: Session, query: str, **bounds: Any) -> Iterator[dict[str, Any]]:
    row = session.execute(sa.text(query), bounds).mappings().first()
    if row is not None:
        transaction_id = row["transaction_id"]
        yield {
            **row,
            "transaction_id": None if transaction_id is None else str(transaction_id),
            "expected": _shown(row["expected"]),
            "found": _shown(row["found"]),
        }


def _shown(value: Any) -> Any:
    """A hash, or none, as it is."""
    return value if value is None or isinstance(value, str) else json_number(number(value))


def trial_balance(session: Session, *, legs: bool) -> list[tuple[int, Any, Any]]:
    """(asset type, Σ of balances, Σ of legs), of one moment; None where there are no legs.

    Both sums are zero where every deposit has a counterpart. The session is in no database
    transaction yet.
    """
    session.connection(execution_options=ONE_SNAPSHOT)
    balances = _sums(session, BALANCES_BY_ASSET, "wallets")
    by_legs = _sums(session, LEGS_BY_ASSET, "ledger_entries") if legs else {}
    return [
        (asset, number(total), number(by_legs.get(asset, 0)) if legs else None)
        for asset, total in sorted(balances.items())
    ]


def _sums(session: Session, query: str, table: str) -> dict[int, Any]:
    """By asset type."""
    sums: dict[int, Any] = {}
    for bounds in _ranges(session, table):
        for asset, part in session.execute(sa.text(query), bounds):
            sums[asset] = sums.get(asset, 0) + part
    return sums


def number(value: Any) -> int | float:
    """As the build's money column keeps it."""
    if isinstance(value, float):
        return value
    # SUM of BIGINT comes as a whole Decimal, that of NUMERIC may have cents.
    return int(value) if value == int(value) else float(value)
