"""Taking back what rows of a batch paid (switch `compensation`)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.batches.orders import is_final, reason_of, row_order
from engine.batches.running import RowTaken
from engine.batches.store import Batch, Row, these_rows
from engine.database import OpenSession
from engine.defences import Defences
from engine.identity import Principal
from engine.locking import Locking
from engine.payments import MarkOf, Order, Payments
from engine.refusals import BATCH_INTERRUPTED, ROWS_NOT_PAID, Refused
from engine.reversals import refuse_reversed
from engine.trouble import passes
from engine.unit_of_work import commit
from engine.wallets import Mark, Movement, Once, Posting, Record

SERVICE = Principal(user_id=None, role="service")
"""The recipient is not asked: who may ask for a compensation is settled before."""
PAID = frozenset({"PAID", "COMPENSATED"})
INTERRUPTED = "some of the rows may be taken back: look at the batch's rows"

MARK = sa.text(
    "UPDATE batch_rows SET status = 'COMPENSATED', compensation_id = :compensation_id "
    "WHERE batch_id = :batch_id AND row_index = :row_index"
)
COUNT = sa.text("UPDATE batches SET compensated_count = compensated_count + 1 WHERE id = :batch_id")
MARK_ONCE = (
    (
        "marked_row",
        (
            "UPDATE batch_rows SET status = 'COMPENSATED', "
            "compensation_id = CAST(:compensation_id AS uuid) "
            "WHERE batch_id = :batch_id AND row_index = :row_index AND status = 'PAID' "
            "RETURNING batch_id"
        ),
    ),
    (
        "counted",
        (
            "UPDATE batches SET compensated_count = compensated_count + 1 "
            "FROM marked_row WHERE id = marked_row.batch_id RETURNING id"
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Compensated:
    """What became of one of the chosen rows; `error` says why it is still only paid."""

    row_index: int
    compensation_id: str | None
    error: str | None = None


class Compensation(Protocol):
    def is_done(self, row: Row) -> bool: ...

    def order(self, batch: Batch, row: Row) -> Order:
        """What takes it back. Executed, it may raise RowTaken."""

    def done(self, session: Session, batch: Batch, row: Row, compensation_id: str) -> None:
        """Called when the transfer is committed."""


class NewTransfer:
    """Whoever asks gets a transfer like any other; the row is marked afterwards."""

    def is_done(self, row: Row) -> bool:  # noqa: ARG002
        return False

    def order(self, batch: Batch, row: Row) -> Order:
        return _back(batch, row, mark=None)

    def done(self, session: Session, batch: Batch, row: Row, compensation_id: str) -> None:
        session.execute(MARK, _marks(batch, row, compensation_id))
        session.execute(COUNT, {"batch_id": batch.id})
        commit(session)


class OnceARow:
    """The row turns from paid to compensated with the money, which is a reversal: a payment that
    was reversed by its own route is not taken back once more, nor the other way round."""

    def is_done(self, row: Row) -> bool:
        return row.status == "COMPENSATED"

    def order(self, batch: Batch, row: Row) -> Order:
        def mark(postings: Sequence[Posting]) -> Mark:
            values = _marks(batch, row, str(postings[0].id))
            return Mark(parts=MARK_ONCE, values=values, missed=RowTaken())

        order = _back(batch, row, mark=mark)
        (transfer,) = order.movements
        assert row.transaction_id is not None, "only what was paid is taken back"
        once = Once(reverses_transaction_id=row.transaction_id)
        return replace(order, subject=PaidRow(replace(transfer, kind="REVERSAL", once=once)))

    def done(self, session: Session, batch: Batch, row: Row, compensation_id: str) -> None:
        pass  # It was marked with the money.


@dataclass(frozen=True)
class PaidRow:
    """What a compensation is about: the row's payment, which may have been reversed by itself."""

    movement: Movement

    def movements(self, session: Session, locking: Locking) -> tuple[Movement, ...]:
        del session, locking
        return (self.movement,)

    def check(self, session: Session) -> None:
        assert self.movement.once is not None
        assert self.movement.once.reverses_transaction_id is not None
        refuse_reversed(session, self.movement.once.reverses_transaction_id)

    def records(self, postings: Sequence[Posting]) -> tuple[Record, ...]:
        del postings
        return ()


def _back(batch: Batch, row: Row, *, mark: MarkOf | None) -> Order:
    return row_order(
        SERVICE,
        payer=row.recipient_id,
        payee=batch.source_wallet_id,
        amount=row.amount,
        name=f"batch/{batch.id}/row/{row.row_index}/compensation",
        mark=mark,
    )


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

        Raises Refused when one of them was never paid, before anything moves, and where trouble
        that passes interrupts it: then the same call goes on.
        """
        rows = self._rows(open_session, batch, indexes)
        paid = {row.row_index for row in rows if row.status in PAID}
        if unpaid := sorted(set(indexes) - paid):
            errors = [{"field": "rows", "message": f"row {i} was not paid"} for i in unpaid]
            raise Refused(ROWS_NOT_PAID, f"{len(unpaid)} rows were not paid", errors=errors)
        try:
            return [self._take_back(open_session, batch, row) for row in rows]
        except Exception as error:
            if not passes(error):
                raise
            # Rows before this one are taken back: nothing that says otherwise goes through.
            raise Refused(BATCH_INTERRUPTED, INTERRUPTED) from error

    def _take_back(self, open_session: OpenSession, batch: Batch, row: Row) -> Compensated:
        if self._way.is_done(row):
            return _done(row)
        try:
            answer = self._payments.execute(open_session, self._way.order(batch, row))
        except RowTaken:
            return self._as_it_is(open_session, batch, row)
        except Refused as refusal:
            if is_final(refusal.problem):
                return self._as_it_is(open_session, batch, row, error=reason_of(refusal))
            # Who lost a race that nobody runs again has lost it to a twin, if the row is done now.
            now = self._as_it_is(open_session, batch, row)
            if now.compensation_id is None:
                raise
            return now
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
