"""Paying a batch out: row after row, each a transfer of its own."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from engine.batches.orders import is_final, reason_of, row_order
from engine.batches.running import ROWS_AT_ONCE, RowTaken, Run, Runs
from engine.batches.store import Batch, Row, find_batch
from engine.database import OpenSession
from engine.identity import Principal
from engine.payments import Payments
from engine.refusals import UNAVAILABLE, Refused

LOG = logging.getLogger("engine")
ROWS_IN_REQUEST = 100
"""Up to so many rows are paid while the client waits, more of them in the background."""
BACKGROUND_THREADS = 2
"""Each takes one connection: other requests keep the rest."""

Allowed = Callable[[Batch | None], Batch]
"""Gives back a batch that may be paid out. Raises Refused."""


class Executions:
    """The executions of one engine process."""

    def __init__(self, runs: Runs, payments: Payments, open_session: OpenSession) -> None:
        """`payments` has to be one that ignores idempotency keys: a row is its own.

        `open_session` is for what outlives the request.
        """
        self.runs = runs
        self._payments = payments
        self._open_session = open_session
        self._stopping = threading.Event()
        self._background = ThreadPoolExecutor(BACKGROUND_THREADS, thread_name_prefix="batch")

    def execute(self, open_session: OpenSession, batch_id: int, allowed: Allowed) -> None:
        """Pay out what is not paid yet: here when it is little, else in the background.

        A batch that has ended stays as it is. Raises what `allowed` raises, Refused while somebody
        else is at it, and for trouble that passes: then the rows so far are settled, and another
        call goes on.
        """
        batch, run = self._begin(open_session, batch_id, allowed)
        if run is None:
            return
        if _left(batch) <= ROWS_IN_REQUEST:
            self._run(open_session, batch, run)
        else:
            self._background.submit(self._run_alone, batch, run)

    def resume(self) -> None:
        """Go on with what a process before this one left. What goes wrong is only logged.

        What is little is done when this returns.
        """
        with self._open_session() as session:
            found = self.runs.unfinished(session)
        left = ROWS_IN_REQUEST
        for batch in found:
            left -= _left(batch)
            try:
                _, run = self._begin(self._open_session, batch.id, _whatever_exists)
                if run and left < 0:
                    self._background.submit(self._run_alone, batch, run)
                elif run:
                    self._run(self._open_session, batch, run)
            except (Refused, RedisError, SQLAlchemyError) as error:
                LOG.warning("batch %s was not resumed: %s", batch.id, error)

    def _begin(
        self, open_session: OpenSession, batch_id: int, allowed: Allowed
    ) -> tuple[Batch, Run | None]:
        with open_session() as session:
            try:
                batch = allowed(find_batch(session, batch_id, lock=self.runs.claims))
                return batch, self.runs.begin(session, batch)
            finally:
                session.rollback()  # Of what was not committed: the lock.

    def stop(self) -> None:
        """Let the rows under way end. The rest waits for the next start."""
        self._stopping.set()
        self._background.shutdown(cancel_futures=True)

    def _run_alone(self, batch: Batch, run: Run) -> None:
        """Nobody waits for this: what goes wrong is logged, and the state shows it."""
        try:
            self._run(self._open_session, batch, run)
        except Exception:
            LOG.exception("batch %s broke off", batch.id)

    def _run(self, open_session: OpenSession, batch: Batch, run: Run) -> None:
        try:
            self._pay_rows(open_session, batch, run)
        except BaseException:
            # Without the database the lease ends by itself, or with the next call here.
            with suppress(SQLAlchemyError, Refused), open_session() as session:
                self.runs.let_go(session, run)
            raise

    def _pay_rows(self, open_session: OpenSession, batch: Batch, run: Run) -> None:
        after = 0
        while True:
            with open_session() as session:
                rows = self.runs.next_rows(session, run, after)
                session.rollback()
            for row in rows:
                if self._stopping.is_set():
                    raise Refused(UNAVAILABLE, "the engine stops; the batch can be resumed")
                self._pay(open_session, batch, run, row)
            if len(rows) < ROWS_AT_ONCE:
                break
            after = rows[-1].row_index
        with open_session() as session:
            self.runs.end(session, run)

    def _pay(self, open_session: OpenSession, batch: Batch, run: Run, row: Row) -> None:
        order = row_order(
            # Whoever set the batch up pays, also when the engine resumes it by itself.
            Principal(user_id=batch.user_id, role="user"),
            payer=batch.source_wallet_id,
            payee=row.recipient_id,
            amount=row.amount,
            name=f"batch/{batch.id}/row/{row.row_index}",
            mark=self.runs.mark(run, row),
        )
        try:
            answer = self._payments.execute(open_session, order)
            self.runs.paid(open_session, run, row, answer.body["id"])
        except RowTaken:
            self._check(open_session, run)
        except Refused as refusal:
            if not is_final(refusal.problem):
                raise
            self._mark_refused(open_session, run, row, refusal)

    def _mark_refused(
        self, open_session: OpenSession, run: Run, row: Row, refusal: Refused
    ) -> None:
        try:
            with open_session() as session:
                self.runs.refused(session, run, row, reason_of(refusal))
        except RowTaken:
            self._check(open_session, run)

    def _check(self, open_session: OpenSession, run: Run) -> None:
        with open_session() as session:
            self.runs.check(session, run)


def _left(batch: Batch) -> int:
    return batch.item_count - batch.last_processed_row


def _whatever_exists(batch: Batch | None) -> Batch:
    assert batch is not None, "batches are never deleted"
    return batch
