"""What is committed together (switch `unit_of_work`)."""

from collections.abc import Callable, Sequence

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engine.defences import Defences
from engine.refusals import OUTCOME_UNKNOWN, Refused
from engine.wallets import Movement


class UnitOfWork:
    """`atomic`: all movements of a request; `per_movement`: each; `per_step`: each write."""

    def __init__(self, defences: Defences) -> None:
        value = defences.unit_of_work
        self._all_together = value == "atomic"
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
