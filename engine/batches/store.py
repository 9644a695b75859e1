"""Batches and their rows as the database has them: opening, reading, filling."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.schema import Amount

ENDED = frozenset({"COMPLETED", "PARTIALLY_FAILED", "FAILED"})

BATCH = """
SELECT b.id, b.user_id, b.source_wallet_id, b.status, b.total_amount, b.item_count,
       b.success_count, b.failure_count, b.compensated_count, b.last_processed_row,
       b.file_sha256, b.timestamp, w.asset_type_id, a.code AS asset, b.lease_token, b.lease_holder,
       coalesce(b.lease_until > clock_timestamp(), false) AS lease_holds
FROM batches b JOIN wallets w ON w.id = b.source_wallet_id
     JOIN asset_types a ON a.id = w.asset_type_id
"""
FIND = sa.text(f"{BATCH} WHERE b.id = :batch_id")
FIND_AND_LOCK = sa.text(f"{BATCH} WHERE b.id = :batch_id FOR NO KEY UPDATE OF b")
UNFINISHED = sa.text(f"{BATCH} WHERE b.status = 'PROCESSING' ORDER BY b.id")
NEWEST = sa.text(
    f"{BATCH} WHERE (CAST(:user_id AS bigint) IS NULL OR b.user_id = :user_id) AND b.id < :before "
    "ORDER BY b.id DESC LIMIT :limit"
)
OPEN = sa.text(
    "INSERT INTO batches (user_id, source_wallet_id, idempotency_key) "
    "VALUES (:user_id, :source_wallet_id, :key) ON CONFLICT DO NOTHING RETURNING id"
)
OPENED = sa.text(
    f"{BATCH} WHERE coalesce(b.user_id, 0) = coalesce(CAST(:user_id AS bigint), 0) "
    "AND b.idempotency_key = :key"
)
ROWS = """
SELECT row_index, line, recipient_id, amount, status, transaction_id, compensation_id, error
FROM batch_rows WHERE batch_id = :batch_id
"""
ROWS_AFTER = sa.text(f"{ROWS} AND row_index > :after ORDER BY row_index LIMIT :limit")
PENDING_AFTER = sa.text(
    f"{ROWS} AND status = 'PENDING' AND row_index > :after ORDER BY row_index LIMIT :limit"
)
THESE_ROWS = sa.text(f"{ROWS} AND row_index = ANY(CAST(:indexes AS integer[])) ORDER BY row_index")


@dataclass(frozen=True, kw_only=True)
class Batch:
    id: int
    user_id: int | None
    """Who set it up; None where nobody is asked for a name."""
    source_wallet_id: int
    status: str
    total_amount: Amount
    item_count: int
    success_count: int
    failure_count: int
    compensated_count: int
    last_processed_row: int
    file_sha256: str | None
    """None until it has its rows, which then never change."""
    timestamp: datetime
    asset_type_id: int
    asset: str
    """The code of what it pays in."""
    lease_token: UUID | None
    lease_holder: str | None
    lease_holds: bool
    """By the database's clock, when it was read."""

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, kw_only=True)
class Row:
    row_index: int
    """Among the rows of the batch, from 1: the order in which they are paid."""
    line: int
    """Of the file."""
    recipient_id: int
    amount: Amount
    status: str
    """PENDING, PAID, REFUSED or COMPENSATED."""
    transaction_id: UUID | None
    compensation_id: UUID | None
    error: str | None


def find_batch(session: Session, batch_id: int, *, lock: bool = False) -> Batch | None:
    statement = FIND_AND_LOCK if lock else FIND
    found = session.execute(statement, {"batch_id": batch_id}).mappings().first()
    return Batch(**found) if found else None


def unfinished_batches(session: Session) -> list[Batch]:
    return [Batch(**found) for found in session.execute(UNFINISHED).mappings()]


def newest_batches(
    session: Session, user_id: int | None, *, before: int, limit: int
) -> list[Batch]:
    """Newest first, below that id; of everybody where `user_id` is None."""
    found = session.execute(NEWEST, {"user_id": user_id, "before": before, "limit": limit})
    return [Batch(**row) for row in found.mappings()]


def open_batch(
    session: Session, *, user_id: int | None, source_wallet_id: int, key: str | None
) -> tuple[Batch, bool]:
    """A batch without rows, and whether it is new: a user's key names one batch. Not committed."""
    values = {"user_id": user_id, "source_wallet_id": source_wallet_id, "key": key}
    batch_id = session.execute(OPEN, values).scalar()
    if batch_id is not None:
        batch = find_batch(session, batch_id)
        assert batch is not None, "it was written just now"
        return batch, True
    return Batch(**session.execute(OPENED, values).mappings().one()), False


def rows_after(
    session: Session, batch_id: int, after: int, *, limit: int, only_pending: bool = False
) -> list[Row]:
    """The next rows behind that index, in order."""
    statement = PENDING_AFTER if only_pending else ROWS_AFTER
    values = {"batch_id": batch_id, "after": after, "limit": limit}
    return [Row(**row) for row in session.execute(statement, values).mappings()]


def these_rows(session: Session, batch_id: int, indexes: Sequence[int]) -> list[Row]:
    values = {"batch_id": batch_id, "indexes": list(indexes)}
    return [Row(**row) for row in session.execute(THESE_ROWS, values).mappings()]
