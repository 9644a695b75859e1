"""Lists of movements, newest first, read page by page: each begins behind the last row of the one
before (keyset pagination), so that a page costs the same however deep it lies."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.schema import Amount

COLUMNS = """
SELECT t.id, t.type AS kind, t.from_wallet_id, t.to_wallet_id, t.amount, t.status, t.timestamp,
       w.asset_type_id
"""
WITH_ITS_ASSET = "JOIN wallets w ON w.id = coalesce(t.from_wallet_id, t.to_wallet_id)"
# By id, which is the primary key: its first bits are the millisecond (UUID version 7).
OF_ALL = sa.text(f"""
{COLUMNS}
FROM (
    SELECT id FROM transactions WHERE id < CAST(:id AS uuid) ORDER BY id DESC LIMIT :limit
) page JOIN transactions t ON t.id = page.id {WITH_ITS_ASSET}
ORDER BY t.id DESC
""")  # noqa: S608 - of our own constants
# By (wallet, timestamp), which are the indexes of both sides: so many of each, and then of all.
ONE_SIDE = """
(SELECT id, timestamp FROM transactions
 WHERE {side} = mine.id AND timestamp <= CAST(:timestamp AS timestamptz)
   AND (timestamp, id) < (CAST(:timestamp AS timestamptz), CAST(:id AS uuid))
 ORDER BY timestamp DESC, id DESC LIMIT :limit)
"""
OF_THESE = f"""
{COLUMNS}
FROM (
    SELECT DISTINCT each.id, each.timestamp FROM ({{wallets}}) mine, LATERAL (
        {ONE_SIDE.format(side="from_wallet_id")} UNION ALL {ONE_SIDE.format(side="to_wallet_id")}
    ) each
    ORDER BY each.timestamp DESC, each.id DESC LIMIT :limit
) page JOIN transactions t ON t.id = page.id {WITH_ITS_ASSET}
ORDER BY t.timestamp DESC, t.id DESC
"""  # noqa: S608 - of our own constants
OF_USER = sa.text(OF_THESE.format(wallets="SELECT id FROM wallets WHERE user_id = :user_id"))
OF_WALLET = sa.text(OF_THESE.format(wallets="SELECT CAST(:wallet_id AS bigint) AS id"))
NEWEST: Mapping[str, str] = {"timestamp": "infinity", "id": str(uuid.UUID(int=2**128 - 1))}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a page ends: behind this movement."""

    timestamp: datetime
    id: uuid.UUID


@dataclass(frozen=True, kw_only=True)
class ListedMovement:
    id: uuid.UUID
    kind: str
    from_wallet_id: int | None
    to_wallet_id: int | None
    amount: Amount
    status: str
    timestamp: datetime
    asset_type_id: int

    @property
    def place(self) -> Place:
        return Place(timestamp=self.timestamp, id=self.id)


def movements_of_all(session: Session, *, after: Place | None, limit: int) -> list[ListedMovement]:
    return _listed(session, OF_ALL, after, limit=limit)


def movements_of_user(
    session: Session, user_id: int, *, after: Place | None, limit: int
) -> list[ListedMovement]:
    """Of all wallets that the user has, each movement once."""
    return _listed(session, OF_USER, after, limit=limit, user_id=user_id)


def movements_of_wallet(
    session: Session, wallet_id: int, *, after: Place | None, limit: int
) -> list[ListedMovement]:
    return _listed(session, OF_WALLET, after, limit=limit, wallet_id=wallet_id)


def _listed(
    session: Session, query: sa.TextClause, after: Place | None, **values: Any
) -> list[ListedMovement]:
    place = NEWEST if after is None else {"timestamp": after.timestamp, "id": str(after.id)}
    found = session.execute(query, {**values, **place})
    return [ListedMovement(**row) for row in found.mappings()]
