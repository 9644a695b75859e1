"""Taking back what rows of a batch paid (switch `compensation`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.batches.orders import is_final, reason_of, row_order
from engine.batches.running import RowTaken
from engine.batches.store import Batch, Row, these_rows
from engine.database import OpenSession
from engine.defences import Defences
from engine.identity import Principal
from engine.payments import Along, Payments
from engine.refusals import ROWS_NOT_PAID, Refused
from engine.unit_of_work import commit
from engine.wallets import Posting

SERVICE = Principal(user_id=None, role="service")
"""The recipient is not asked: who may ask for a compensation is settled before."""
PAID = frozenset({"PAID", "COMPENSATED"})

MARK = sa.text(
    "UPDATE batch_rows SET status = 'COMPENSATED', compensation_id = :compensation_id "
    "WHERE batch_id = :batch_id AND row_index = :row_index"
)
COUNT = sa.text("UPDATE batches SET compensated_count = compensated_count + 1 WHERE id = :batch_id")
MARK_ONCE = sa.text(
    "WITH marked AS ("
    "  UPDATE batch_rows SET status = 'COMPENSATED', compensation_id = :compensation_id "
    "  WHERE batch_id = :batch_id AND row_index = :row_index AND status = 'PAID' "
    "  RETURNING batch_id) "
    "UPDATE batches SET compensated_count = compensated_count + 1 "
    "FROM marked WHERE id = marked.batch_id RETURNING id"
)


@dataclass(frozen=True, kw_only=True)
class Compensated:
    """What became of one of the chosen rows; `error` says why it is still only paid."""

    row_index: int
    compensation_id: str | None
    error: str | None = None


class Compensation(Protocol):
    def is_done(self, row: Row) -> bool: ...

    def along(self, batch: Batch, row: Row) -> Along | None:
        """May raise RowTaken."""

    def done(self, session: Session, batch: Batch, row: Row, compensation_id: str) -> None:
        """Called when the transfer is committed."""


class NewTransfer:
    """Whoever asks gets a transfer; the row is marked afterwards."""

    def is_done(self, row: Row) -> bool:  # noqa: ARG002
        return False

    def along(self, batch: Batch, row: Row) -> Along | None:  # noqa: ARG002
        return None

    def done(self, session: Session, batch: Batch, row: Row, compensation_id: str) -> None:
        session.execute(MARK, _marks(batch, row, compensation_id))
        session.execute(COUNT, {"batch_id": batch.id})
        commit(session)


class OnceARow:
    """The row turns from paid to compensated in the transfer's database transaction."""

    def is_done(self, row: Row) -> bool:
        return row.status == "COMPENSATED"

    def along(self, batch: Batch, row: Row) -> Along | None:
        def mark(session: Session, postings: Sequence[Posting]) -> None:
            values = _marks(batch, row, str(postings[0].id))
            if session.execute(MARK_ONCE, values).first() is None:
                raise RowTaken

        return mark

    def done(self, session: Session, batch: Batch, row: Row, compensation_id: str) -> None:
        pass  # It was marked with the money.


def _marks(batch: Batch, row: Row, compensation_id: str) -> dict[str, object]:
    return {
        "batch_id": batch.id,
        "row_index": row.row_index,
        "compensation_id": compensation_id,
    }


class Compensations:
    def __init__(self, way: Compensation, payments: Payments) -> None:
        """`payments` has to be one that ignores idempotency keys: a row is its own."""
        self._way = way
        self._payments = payments

    def compensate(
        self, open_session: OpenSession, batch: Batch, indexes: Sequence[int]
    ) -> list[Compensated]:
        """Each of the rows by a transfer of its own, in the order of the file.

        Raises Refused when one of them was never paid, before anything moves, and for trouble that
        passes: then the same call goes on.
        """
        rows = self._rows(open_session, batch, indexes)
        paid = {row.row_index for row in rows if row.status in PAID}
        if unpaid := sorted(set(indexes) - paid):
            errors = [{"field": "rows", "message": f"row {i} was not paid"} for i in unpaid]
            raise Refused(ROWS_NOT_PAID, f"{len(unpaid)} rows were not paid", errors=errors)
        return [self._take_back(open_session, batch, row) for row in rows]

    def _take_back(self, open_session: OpenSession, batch: Batch, row: Row) -> Compensated:
        if self._way.is_done(row):
            return _done(row)
        order = row_order(
            SERVICE,
            payer=row.recipient_id,
            payee=batch.source_wallet_id,
            amount=row.amount,
            name=f"batch/{batch.id}/row/{row.row_index}/compensation",
            along=self._way.along(batch, row),
        )
        try:
            answer = self._payments.execute(open_session, order)
        except RowTaken:
            return self._as_it_is(open_session, batch, row)
        except Refused as refusal:
            if not is_final(refusal.problem):
                raise
            return self._as_it_is(open_session, batch, row, error=reason_of(refusal))
        compensation_id = answer.body["id"]
        with open_session() as session:
            self._way.done(session, batch, row, compensation_id)
        return Compensated(row_index=row.row_index, compensation_id=compensation_id)

    def _as_it_is(
        self, open_session: OpenSession, batch: Batch, row: Row, *, error: str | None = None
    ) -> Compensated:
        """A twin may have done it meanwhile: then it is done, whatever we were told."""
        (now,) = self._rows(open_session, batch, [row.row_index])
        if self._way.is_done(now):
            return _done(now)
        return Compensated(row_index=row.row_index, compensation_id=None, error=error)

    def _rows(self, open_session: OpenSession, batch: Batch, indexes: Sequence[int]) -> list[Row]:
        with open_session() as session:
            rows = these_rows(session, batch.id, indexes)
            session.rollback()
        return rows


def _done(row: Row) -> Compensated:
    return Compensated(row_index=row.row_index, compensation_id=str(row.compensation_id))


def compensation_of(defences: Defences) -> Compensation:
    return OnceARow() if defences.compensation == "once" else NewTransfer()
