"""Ground truth as SQL, for reading it in bounded memory: what a target offers at scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg2.extensions

BALANCES = ("wallet", "asset", "whole", "odd", "may_be_negative", "version", "owner", "status")
EFFECTS = ("effect", "payer", "payee", "whole", "odd", "key")
LEGS = ("effect", "wallet", "whole", "odd", "after_whole", "after_odd", "position")


@dataclass(frozen=True, kw_only=True)
class TruthQueries:
    """SELECTs for PostgreSQL, with the columns that are named above, in that order.

    Amounts come as two columns. `whole`: minor units as bigint, null where it is no whole number
    of them that fits; then `odd` has it as text without exponent ("0.5", "NaN", "-Infinity"). A
    side of an effect is null when it lies outside or is a wallet of the service itself. `key` is
    the idempotency key that the effect was recorded with, null where the service keeps none.
    """

    balances: str
    effects: str | None
    """None where movements are not recorded."""
    legs: str | None
    """None where the service keeps no legs."""
    new_only: str | None = None
    """A condition that leaves effects and legs out which the snapshot `{since}` saw already, a
    pg_snapshot as text; it may let a seen one through again. None: all are read every time."""
    moves_as_one: bool = True
    """Balances and records change in one database transaction: at no moment do they differ."""


class ScaleTarget(Protocol):
    """A target whose ground truth can be read at scale."""

    def truth_queries(self, connection: psycopg2.extensions.connection) -> TruthQueries:
        """For this database. The connection may be in a transaction, and stays so."""


OWN = """
WITH own AS (SELECT w.id FROM wallets w JOIN users u ON u.id = w.user_id
             WHERE u.role IN ('system', 'escrow'))
"""
BALANCES_SQL = """
SELECT t.id, a.code, {balance}, t.allow_negative, t.version, u.id, t.status
FROM wallets t JOIN asset_types a ON a.id = t.asset_type_id JOIN users u ON u.id = t.user_id
"""
EFFECTS_SQL = """
SELECT t.id, CASE WHEN payer.id IS NULL THEN t.from_wallet_id END,
       CASE WHEN payee.id IS NULL THEN t.to_wallet_id END, {amount}, t.idempotency_key
FROM transactions t LEFT JOIN own payer ON payer.id = t.from_wallet_id
LEFT JOIN own payee ON payee.id = t.to_wallet_id
WHERE t.status = 'COMPLETED'
"""
LEGS_SQL = """
SELECT t.transaction_id, t.wallet_id, {amount}, {after}, t.wallet_version
FROM ledger_entries t WHERE true
"""
NEW_ONLY = """
NOT pg_visible_in_snapshot((t.xmin::text::bigint + 4294967296 * (
    ((SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint) - t.xmin::text::bigint)
    / 4294967296))::text::xid8, {since})
"""
"""Ids and timestamps are given before the commit; what a snapshot sees is told by xmin alone. A
row has its last 32 bits only: the others are those of the latest past."""


def engine_queries(
    connection: psycopg2.extensions.connection, defences: Mapping[str, Any]
) -> TruthQueries:
    """Of Assay's own engine with these values of its switches."""
    money = defences["money"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('ledger_entries') IS NOT NULL")
        keeps_legs = cursor.fetchone() == (True,)
    sign = "(CASE t.entry_type WHEN 'CREDIT' THEN 1 ELSE -1 END)"
    legs = LEGS_SQL.format(
        amount=_minor("t.amount", money, sign), after=_minor("t.balance_after", money)
    )
    return TruthQueries(
        balances=BALANCES_SQL.format(balance=_minor("t.balance", money)),
        effects=None
        if defences["ledger"] == "none"
        else OWN + EFFECTS_SQL.format(amount=_minor("t.amount", money)),
        legs=legs if keeps_legs else None,
        new_only=NEW_ONLY,
        moves_as_one=defences["unit_of_work"] != "per_step",
    )


def _minor(column: str, money: str, sign: str = "1") -> str:
    """Both columns of an amount. A float is what its shortest text says, as in Python."""
    if money == "minor_units":
        return f"{column} * {sign}, NULL"
    minor = f"({column}::text::numeric * 100 * {sign})"
    whole = f"({minor} = trunc({minor}) AND abs({minor}) < 9e18)"
    return (
        f"CASE WHEN {whole} THEN {minor}::bigint END, "
        f"CASE WHEN NOT {whole} THEN trim_scale({minor})::text END"
    )
