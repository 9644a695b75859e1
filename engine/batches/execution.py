"""Paying a batch out: row after row, each a transfer of its own."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError

from engine.batches.orders import is_final, reason_of, row_order
from engine.batches.running import ROWS_AT_ONCE, RowTaken, Run, Runs
from engine.batches.store import Batch, Row, find_batch
from engine.database import OpenSession
from engine.identity import Principal
from engine.payments import Payments
from engine.refusals import BATCH_INTERRUPTED, BATCH_RUNNING, Refused
from engine.trouble import passes, without_values

LOG = logging.getLogger("engine")
ROWS_IN_REQUEST = 100
"""Up to so many rows are paid while the client waits, more of them in the background."""
BACKGROUND_THREADS = 2
"""Each takes one connection: other requests keep the rest."""
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before the next tries in the background, each without a row since the last one; all together
shorter than the lease."""
INTERRUPTED = "rows before the interruption are settled: look at the batch's state"

Allowed = Callable[[Batch | None], Batch]
"""Gives back a batch that may be paid out. Raises Refused."""


@dataclass(kw_only=True)
class Course:
    """An execution under way."""

    batch: Batch
    """As it was when it began."""
    run: Run
    after: int = 0
    """Index of the last row that was settled."""


class Executions:
    """The executions of one engine process."""

    def __init__(
        self,
        runs: Runs,
        payments: Payments,
        open_session: OpenSession,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`payments` has to be one that ignores idempotency keys: a row is its own.

        `open_session` is for what outlives the request. `told` hears that an execution has begun,
        ended or broken off.
        """
        self._told = told
        self.runs = runs
        self._payments = payments
        self._open_session = open_session
        self._stopping = threading.Event()
        self._background = ThreadPoolExecutor(BACKGROUND_THREADS, thread_name_prefix="batch")

    def execute(self, open_session: OpenSession, batch_id: int, allowed: Allowed) -> Batch:
        """Pay out what is not paid yet: here when it is little, else in the background.

        Returns the batch as this leaves it; one that has ended stays as it is. Raises what
        `allowed` raises, and Refused: while somebody else is at it, and where trouble that passes
        interrupts it. Then the rows so far are settled, and another call goes on.
        """
        batch, run = self._begin(open_session, batch_id, allowed)
        if run is None:
            return batch
        course = Course(batch=batch, run=run)
        if _left(batch) <= ROWS_IN_REQUEST:
            return self._run(open_session, course)
        self._background.submit(self._run_alone, course)
        return replace(batch, status="PROCESSING", lease_holds=run.token is not None)

    def resume(self) -> None:
        """Go on with what a process before this one left. What goes wrong is only logged.

        What is little is done when this returns, unless trouble sends it to the background.
        """
        with self._open_session() as session:
            found = self.runs.unfinished(session)
        left = ROWS_IN_REQUEST
        for batch in found:
            left -= _left(batch)
            try:
                _, run = self._begin(self._open_session, batch.id, _whatever_exists)
                if run:
                    self._go_on(Course(batch=batch, run=run), at_once=left >= 0)
            except Exception as error:  # noqa: BLE001 - the others are to be resumed
                LOG.warning("batch %s was not resumed: %s", batch.id, without_values(error))

    def _go_on(self, course: Course, *, at_once: bool) -> None:
        """Raises what does not pass."""
        try:
            if at_once:
                self._run(self._open_session, course, keep=True)
        except Refused as error:
            if error.problem is not BATCH_INTERRUPTED:
                raise
            at_once = False
        if not at_once:
            self._background.submit(self._run_alone, course)

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

    def _run_alone(self, course: Course) -> None:
        """Nobody waits for this: trouble that passes is waited out, and all else is logged.

        Between tries the lease stays. When this gives up the lease ends, and the batch's `running`
        shows that nobody is at work.
        """
        try:
            self._try_on(course)
        except Exception as error:  # noqa: BLE001 - there is no caller
            self._let_go(self._open_session, course.run)
            if not self._stopping.is_set():
                told = without_values(error)
                LOG.error("batch %s broke off: %s", course.batch.id, told)  # noqa: TRY400 - quotes

    def _try_on(self, course: Course) -> None:
        """Raises what does not pass, and what does not pass in time."""
        tries = 0
        ended = None
        while ended is None:
            before = course.after
            try:
                ended = self._run(self._open_session, course, keep=True)
            except Refused as error:
                tries = 0 if course.after > before else tries
                if error.problem is not BATCH_INTERRUPTED or tries == len(PAUSES_S):
                    raise
                # For the database to recover, not for a race; it ends with the engine.
                if self._stopping.wait(PAUSES_S[tries]):
                    raise
                tries += 1
                cause = type(error.__cause__ or error).__name__
                LOG.warning("batch %s goes on after %s", course.batch.id, cause)

    def _run(self, open_session: OpenSession, course: Course, *, keep: bool = False) -> Batch:
        """Raises Refused (interrupted) for trouble that passes: `keep` then keeps the lease."""
        try:
            self._told("begun")
            batch = self._pay_rows(open_session, course)
        except BaseException as error:
            self._told("broken_off")
            # The lease was taken and rows may be paid: nothing that says otherwise goes through.
            told = _as_interruption(error)
            if not (keep and told):
                self._let_go(open_session, course.run)
            if told is None or told is error:
                raise
            raise told from error
        self._told("ended")
        return batch

    def _let_go(self, open_session: OpenSession, run: Run) -> None:
        # Without the database the lease ends by itself, or with the next call here.
        with suppress(SQLAlchemyError, Refused), open_session() as session:
            self.runs.let_go(session, run)

    def _pay_rows(self, open_session: OpenSession, course: Course) -> Batch:
        run = course.run
        while True:
            with open_session() as session:
                rows = self.runs.next_rows(session, run, course.after)
                session.rollback()
            for row in rows:
                if self._stopping.is_set():
                    raise Refused(BATCH_INTERRUPTED, "the engine stops; the batch can be resumed")
                self._pay(open_session, course.batch, run, row)
                course.after = row.row_index
            if len(rows) < ROWS_AT_ONCE:
                break
        with open_session() as session:
            return self.runs.end(session, run)

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


def _as_interruption(error: BaseException) -> Refused | None:
    """What the caller is told where another call may go on; None for what is told as it is."""
    if isinstance(error, Refused) and error.problem is BATCH_INTERRUPTED:
        return error
    taken_over = isinstance(error, Refused) and error.problem is BATCH_RUNNING
    return Refused(BATCH_INTERRUPTED, INTERRUPTED) if passes(error) and not taken_over else None


def _whatever_exists(batch: Batch | None) -> Batch:
    assert batch is not None, "batches are never deleted"
    return batch
