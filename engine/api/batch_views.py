"""What answers about batches carry; `A` is money on the wire, as builds differ."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel

from engine.batches.compensation import Compensated
from engine.batches.store import Batch, Row
from engine.money import Money

A = TypeVar("A")


class BatchView(BaseModel, Generic[A]):
    id: int
    source_wallet_id: int
    status: Literal["PENDING", "PROCESSING", "COMPLETED", "PARTIALLY_FAILED", "FAILED"]
    running: bool
    """Whether somebody holds its lease and pays it out. PROCESSING without it: execute it again."""
    total: A
    item_count: int
    success_count: int
    failure_count: int
    compensated_count: int
    last_processed_row: int
    file_sha256: str | None
    timestamp: datetime


class BatchesView(BaseModel, Generic[A]):
    batches: list[BatchView[A]]


class RowView(BaseModel, Generic[A]):
    row: int
    line: int
    recipient_id: int
    amount: A
    status: Literal["PENDING", "PAID", "REFUSED", "COMPENSATED"]
    transaction_id: UUID | None
    compensation_id: UUID | None
    error: str | None


class RowsView(BaseModel, Generic[A]):
    rows: list[RowView[A]]
    next_after: int | None


class CompensationView(BaseModel):
    row: int
    status: Literal["PAID", "COMPENSATED"]
    compensation_id: UUID | None
    error: str | None


class CompensationsView(BaseModel):
    rows: list[CompensationView]


def batch_view(money: Money, batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "source_wallet_id": batch.source_wallet_id,
        "status": batch.status,
        "running": batch.lease_holds,
        "total": money.write(batch.total_amount, batch.asset),
        "item_count": batch.item_count,
        "success_count": batch.success_count,
        "failure_count": batch.failure_count,
        "compensated_count": batch.compensated_count,
        "last_processed_row": batch.last_processed_row,
        "file_sha256": batch.file_sha256,
        "timestamp": batch.timestamp.isoformat(),
    }


def row_view(money: Money, row: Row, code: str) -> dict[str, Any]:
    return {
        "row": row.row_index,
        "line": row.line,
        "recipient_id": row.recipient_id,
        "amount": money.write(row.amount, code),
        "status": row.status,
        "transaction_id": _text(row.transaction_id),
        "compensation_id": _text(row.compensation_id),
        "error": row.error,
    }


def compensation_view(row: Compensated) -> dict[str, Any]:
    return {
        "row": row.row_index,
        "status": "PAID" if row.compensation_id is None else "COMPENSATED",
        "compensation_id": row.compensation_id,
        "error": row.error,
    }


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
