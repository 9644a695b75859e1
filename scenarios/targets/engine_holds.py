"""What the engine's database says of holds."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import psycopg2.extensions

from scenarios.truth import Held

HOLDS = """
SELECT h.id, h.from_wallet_id, h.to_wallet_id, a.code, h.amount, h.status
FROM holds h JOIN wallets w ON w.id = h.from_wallet_id
JOIN asset_types a ON a.id = w.asset_type_id ORDER BY h.timestamp, h.id
"""
ESCROW = """
SELECT a.code, w.balance
FROM wallets w JOIN users u ON u.id = w.user_id JOIN asset_types a ON a.id = w.asset_type_id
WHERE u.role = 'escrow' ORDER BY a.id
"""
Minor = Callable[[Any], Decimal]


def read_holds(connection: psycopg2.extensions.connection, minor: Minor) -> tuple[Held, ...]:
    with connection.cursor() as cursor:
        cursor.execute(HOLDS)
        return tuple(
            Held(
                id=str(hold),
                payer=str(payer),
                payee=str(payee),
                asset=asset,
                amount_minor=minor(amount),
                status=status,
            )
            for hold, payer, payee, asset, amount, status in cursor.fetchall()
        )


def read_escrow(connection: psycopg2.extensions.connection, minor: Minor) -> Mapping[str, Decimal]:
    with connection.cursor() as cursor:
        cursor.execute(ESCROW)
        return {asset: minor(balance) for asset, balance in cursor.fetchall()}
