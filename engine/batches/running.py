"""How far a batch has come, and who may go on with it (switch `batch`).

`naive`: the state is looked at and then set; rows are paid first and marked afterwards, and
whoever resumes begins with the first. `resumable`: claimed by a lease under the batch's row lock; a
row is marked in the database transaction that pays it, or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.batches.leases import LEASE_S, Leases
from engine.batches.store import Batch, Row, find_batch, rows_after, unfinished_batches
from engine.books.marks import put_mark
from engine.database import OpenSession
from engine.defences import Defences
from engine.payments import MarkOf
from engine.refusals import BATCH_RUNNING, Refused
from engine.unit_of_work import commit
from engine.wallets import Mark, Posting

ROWS_AT_ONCE = 500

SET_PROCESSING = sa.text("UPDATE batches SET status = 'PROCESSING' WHERE id = :batch_id")
MARK = sa.text(
    "UPDATE batch_rows SET status = :status, transaction_id = :transaction_id, error = :error "
    "WHERE batch_id = :batch_id AND row_index = :row_index"
)
COUNT = sa.text(
    "UPDATE batches SET last_processed_row = :row_index, "
    "success_count = success_count + :success, failure_count = failure_count + :failure "
    "WHERE id = :batch_id"
)
END = sa.text(
    "UPDATE batches SET lease_token = NULL, lease_holder = NULL, lease_until = NULL, "
    "status = CASE "
    "  WHEN success_count + failure_count < item_count THEN 'PROCESSING' "
    "  WHEN failure_count = 0 THEN 'COMPLETED' "
    "  WHEN success_count = 0 THEN 'FAILED' "
    "  ELSE 'PARTIALLY_FAILED' END "
    "WHERE id = :batch_id AND lease_token IS NOT DISTINCT FROM CAST(:token AS uuid)"
)

CLAIM = sa.text(
    "UPDATE batches SET status = 'PROCESSING', lease_token = :token, lease_holder = :holder, "
    "lease_until = clock_timestamp() + make_interval(secs => :lease_s) WHERE id = :batch_id"
)
MARK_AND_COUNT = (
    (
        "mine",
        (
            "UPDATE batches SET last_processed_row = :row_index, "
            "success_count = success_count + :success, failure_count = failure_count + :failure, "
            "lease_until = clock_timestamp() + make_interval(secs => :lease_s) "
            "WHERE id = :batch_id AND lease_token = :token RETURNING id"
        ),
    ),
    (
        "marked_row",
        (
            "UPDATE batch_rows SET status = :status, error = CAST(:error AS text), "
            "transaction_id = CAST(:transaction_id AS uuid) FROM mine WHERE batch_id = mine.id "
            "AND row_index = :row_index AND status = 'PENDING' RETURNING row_index"
        ),
    ),
)
STILL_MINE = sa.text("SELECT FROM batches WHERE id = :batch_id AND lease_token = :token")
LET_GO = sa.text(
    "UPDATE batches SET lease_token = NULL, lease_holder = NULL, lease_until = NULL "
    "WHERE id = :batch_id AND lease_token = :token"
)


class RowTaken(Exception):  # noqa: N818 - the row is taken; that is the whole story
    """The row was paid meanwhile, or the lease is lost: nothing of this payment may stay."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a batch under way."""

    batch_id: int
    token: UUID | None = None


class Runs(Protocol):
    keyed: bool
    """Whether a batch's idempotency key is looked at."""

    claims: bool
    """Whether the batch's row is to be locked when it is read to begin."""

    def unfinished(self, session: Session) -> list[Batch]:
        """Batches that a start of the engine is to go on with."""

    def begin(self, session: Session, batch: Batch) -> Run | None:
        """Commits. None when it has ended. Raises Refused while somebody else pays it out."""

    def next_rows(self, session: Session, run: Run, after: int) -> list[Row]:
        """The next ones to be paid behind that index."""

    def mark(self, run: Run, row: Row) -> MarkOf | None:
        """What the row's transfer changes beside the money; missed, it raises RowTaken."""

    def paid(self, open_session: OpenSession, run: Run, row: Row, transaction_id: str) -> None:
        """Called when the transfer is committed."""

    def refused(self, session: Session, run: Run, row: Row, reason: str) -> None:
        """Commits. May raise RowTaken."""

    def check(self, session: Session, run: Run) -> None:
        """Raises Refused when somebody else has taken over."""

    def end(self, session: Session, run: Run) -> Batch:
        """Commits. The batch as it is then."""

    def let_go(self, session: Session, run: Run) -> None:
        """The execution broke off: another one may go on."""


class NaiveRuns:
    keyed = False
    claims = False

    def unfinished(self, session: Session) -> list[Batch]:  # noqa: ARG002
        return []

    def begin(self, session: Session, batch: Batch) -> Run | None:
        if batch.ended:
            return None
        session.execute(SET_PROCESSING, {"batch_id": batch.id})
        commit(session)
        return Run(batch_id=batch.id)

    def next_rows(self, session: Session, run: Run, after: int) -> list[Row]:
        return rows_after(session, run.batch_id, after, limit=ROWS_AT_ONCE)

    def mark(self, run: Run, row: Row) -> MarkOf | None:  # noqa: ARG002
        return None

    def paid(self, open_session: OpenSession, run: Run, row: Row, transaction_id: str) -> None:
        with open_session() as session:
            self._mark(session, _marks(run, row, transaction_id=transaction_id))

    def refused(self, session: Session, run: Run, row: Row, reason: str) -> None:
        self._mark(session, _marks(run, row, error=reason))

    def _mark(self, session: Session, values: dict[str, Any]) -> None:
        session.execute(MARK, values)
        session.execute(COUNT, values)
        commit(session)

    def check(self, session: Session, run: Run) -> None:
        pass

    def end(self, session: Session, run: Run) -> Batch:
        batch = _ended(session, run)
        commit(session)
        return batch

    def let_go(self, session: Session, run: Run) -> None:
        pass


class ResumableRuns:
    keyed = True
    claims = True

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    def unfinished(self, session: Session) -> list[Batch]:
        return [batch for batch in unfinished_batches(session) if self._is_free(batch)]

    def begin(self, session: Session, batch: Batch) -> Run | None:
        if batch.ended:
            return None
        # Only under the batch's lock is it known which of our tokens are alive.
        if not self._is_free(batch):
            raise Refused(BATCH_RUNNING, "the batch is being paid out: look at its state")
        token = self._leases.new_token()
        values = {"batch_id": batch.id, "token": token, "holder": self._leases.holder}
        try:
            session.execute(CLAIM, values | {"lease_s": LEASE_S})
            commit(session)
        except BaseException:
            self._leases.forget(token)
            raise
        return Run(batch_id=batch.id, token=token)

    def _is_free(self, batch: Batch) -> bool:
        dead = self._leases.is_dead(batch.lease_token, batch.lease_holder)
        return dead or not batch.lease_holds

    def next_rows(self, session: Session, run: Run, after: int) -> list[Row]:
        return rows_after(session, run.batch_id, after, limit=ROWS_AT_ONCE, only_pending=True)

    def mark(self, run: Run, row: Row) -> MarkOf | None:
        def paid(postings: Sequence[Posting]) -> Mark:
            return _mark(run, _marks(run, row, transaction_id=str(postings[0].id)))

        return paid

    def paid(self, open_session: OpenSession, run: Run, row: Row, transaction_id: str) -> None:
        pass  # It was marked with the money.

    def refused(self, session: Session, run: Run, row: Row, reason: str) -> None:
        put_mark(session, _mark(run, _marks(run, row, error=reason)))
        commit(session)

    def check(self, session: Session, run: Run) -> None:
        mine = session.execute(STILL_MINE, {"batch_id": run.batch_id, "token": run.token}).first()
        session.rollback()
        if mine is None:
            raise Refused(BATCH_RUNNING, "somebody else goes on with the batch")

    def end(self, session: Session, run: Run) -> Batch:
        batch = _ended(session, run)
        commit(session)
        self._forget(run)
        return batch

    def let_go(self, session: Session, run: Run) -> None:
        self._forget(run)
        session.execute(LET_GO, {"batch_id": run.batch_id, "token": run.token})
        commit(session)

    def _forget(self, run: Run) -> None:
        if run.token is not None:
            self._leases.forget(run.token)


def _ended(session: Session, run: Run) -> Batch:
    """Not committed."""
    session.execute(END, {"batch_id": run.batch_id, "token": run.token})
    # Before COMMIT: afterwards a full pool could not hide that it ended.
    batch = find_batch(session, run.batch_id)
    assert batch is not None, "batches are never deleted"
    return batch


def _mark(run: Run, values: dict[str, Any]) -> Mark:
    fenced = values | {"token": run.token, "lease_s": LEASE_S}
    return Mark(parts=MARK_AND_COUNT, values=fenced, missed=RowTaken())


def _marks(
    run: Run, row: Row, *, transaction_id: str | None = None, error: str | None = None
) -> dict[str, Any]:
    return {
        "batch_id": run.batch_id,
        "row_index": row.row_index,
        "status": "PAID" if error is None else "REFUSED",
        "transaction_id": transaction_id,
        "error": error,
        "success": int(error is None),
        "failure": int(error is not None),
    }


def runs_of(defences: Defences, holder: str) -> Runs:
    return ResumableRuns(Leases(holder)) if defences.batch == "resumable" else NaiveRuns()
