"""What is committed together (switch `unit_of_work`)."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engine.defences import Defences
from engine.refusals import OUTCOME_UNKNOWN, Refused
from engine.wallets import Movement

LOG = logging.getLogger("engine")


class UnitOfWork:
    """`atomic`: all movements of a request; `per_movement`: each; `per_step`: each write.

    `swallow_then_commit`: all movements, but an error of their writes is only logged. PostgreSQL
    answers the COMMIT of a failed transaction with ROLLBACK, which psycopg2 takes for success.
    """

    def __init__(self, defences: Defences) -> None:
        value = defences.unit_of_work
        self._all_together = value in {"atomic", "swallow_then_commit"}
        self._swallows = value == "swallow_then_commit"
        self.one_commit = value != "per_step"
        """Nothing is committed between the steps of one movement."""

    def groups(self, movements: Sequence[Movement]) -> list[tuple[Movement, ...]]:
        """Movements that are decided, written and committed together."""
        if self._all_together:
            return [tuple(movements)]
        return [(movement,) for movement in movements]

    def checkpoint(self, session: Session) -> Callable[[], None]:
        """Called after each step of a settlement."""
        return _nothing if self.one_commit else lambda: commit(session)

    @contextmanager
    def writing(self, session: Session) -> Iterator[None]:
        """Around the writes of a settlement."""
        try:
            yield
        except DBAPIError as error:
            # Without a connection nothing is left to commit on: that reaches everybody.
            if not self._swallows or error.connection_invalidated:
                raise
            kind = type(error.orig).__name__  # Its text quotes values.
            LOG.warning("the movement's records could not be written: %s", kind)
            if not session.is_active:
                session.rollback()  # What SQLAlchemy asks for after a flush that failed.


def commit(session: Session) -> None:
    """COMMIT, and say so when its answer was lost: that is neither success nor failure.

    Raises Refused (outcome unknown), or the database's error when nothing was committed.
    """
    session.flush()  # Whatever fails here fails before COMMIT is sent.
    try:
        session.commit()
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) and not error.connection_invalidated:
            raise  # The server refused and lives on: the database transaction is gone.
        raise Refused(
            OUTCOME_UNKNOWN, "the connection to the database was lost while it committed"
        ) from error


def _nothing() -> None:
    pass
