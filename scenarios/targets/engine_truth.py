"""What is in the engine's database: wallets, movements, legs, locks."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import psycopg2.extensions

from scenarios.invariants.observed import total_of
from scenarios.targets.engine_holds import read_escrow, read_holds
from scenarios.truth import Balance, Effect, GroundTruth, Leg

LOCKS_LEFT = """
SELECT l.objid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database() AND a.state = 'idle'
"""
WALLETS = """
SELECT w.id, a.code, w.balance, w.allow_negative, w.version, u.id, w.status, u.role
FROM wallets w JOIN asset_types a ON a.id = w.asset_type_id
JOIN users u ON u.id = w.user_id ORDER BY w.id
"""
MOVEMENTS = """
SELECT id, from_wallet_id, to_wallet_id, amount FROM transactions
WHERE status = 'COMPLETED' ORDER BY timestamp, id
"""
LEGS = """
SELECT transaction_id, wallet_id, entry_type, amount, balance_after, wallet_version
FROM ledger_entries ORDER BY wallet_id, wallet_version, id
"""
OWN_ROLES = frozenset({"system", "escrow"})
"""Of the users who own the service's wallets."""
Minor = Callable[[Any], Decimal]


def truth_in(
    connection: psycopg2.extensions.connection,
    minor: Minor,
    *,
    keeps_escrow: bool,
    records_kept: bool,
) -> GroundTruth:
    """`minor` makes minor units of what is stored."""
    rows = _rows(connection, WALLETS)
    system = frozenset(str(row[0]) for row in rows if row[7] in OWN_ROLES)
    balances = {
        str(wallet): Balance(
            wallet=str(wallet),
            asset=asset,
            amount_minor=minor(balance),
            may_be_negative=allow_negative,
            version=version,
            owner=str(owner),
            status=status,
        )
        for wallet, asset, balance, allow_negative, version, owner, status, _ in rows
    }
    effects = tuple(
        Effect(
            id=str(movement),
            payer=_outside(payer, system),
            payee=_outside(payee, system),
            amount_minor=minor(amount),
        )
        for movement, payer, payee, amount in _rows(connection, MOVEMENTS)
    )
    return GroundTruth(
        balances=balances,
        effects=effects,
        legs=_legs(connection, minor),
        records_kept=records_kept,
        totals=_totals(balances.values()),
        system_wallets=system,
        locks_left=len(_rows(connection, LOCKS_LEFT)),
        holds=read_holds(connection, minor),
        escrow=read_escrow(connection, minor) if keeps_escrow else None,
    )


def rewriting(ledger: str) -> list[str]:
    """SQL that changes, deletes or empties each table of the ledger that this value keeps."""
    changes = {"transactions": "amount = amount + 1"}
    if ledger in {"double_entry", "hash_chain"}:
        changes = {"ledger_entries": "amount = amount + 1"} | changes
    if ledger == "hash_chain":
        changes["ledger_hashes"] = "hash = ''"
    verbs = ("UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {} CASCADE")
    return [verb.format(table, change) for table, change in changes.items() for verb in verbs]


def _totals(balances: Iterable[Balance]) -> dict[str, Decimal]:
    amounts: defaultdict[str, list[Decimal]] = defaultdict(list)
    for balance in balances:
        amounts[balance.asset].append(balance.amount_minor)
    return {asset: total_of(each) for asset, each in amounts.items()}


def _legs(connection: psycopg2.extensions.connection, minor: Minor) -> tuple[Leg, ...] | None:
    if _rows(connection, "SELECT to_regclass('ledger_entries')") == [(None,)]:
        return None
    return tuple(
        Leg(
            effect=str(effect),
            wallet=str(wallet),
            amount_minor=minor(amount) * (1 if kind == "CREDIT" else -1),
            balance_after_minor=minor(after),
            position=version,
        )
        for effect, wallet, kind, amount, after, version in _rows(connection, LEGS)
    )


def _rows(connection: psycopg2.extensions.connection, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def _outside(wallet: int | None, system: frozenset[str]) -> str | None:
    return None if wallet is None or str(wallet) in system else str(wallet)
