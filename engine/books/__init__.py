"""The wallets' books: reading wallets and writing settlements, by ORM objects or by Core SQL."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from engine.books.core import CoreBooks, read_and_lock_by
from engine.books.ledger import ledger_of
from engine.books.orm import OrmBooks
from engine.books.protocol import Books, StaleVersion
from engine.books.row_locks import RowLocks
from engine.builds import Traits
from engine.defences import Defences
from engine.shape import Shape

OpenBooks = Callable[[Session], Books]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How SQL is run."""

    books: OpenBooks
    transfers_whole: bool
    """A transfer is one call of the database's procedure; other movements go by the books."""


def execution_of(
    defences: Defences, *, shape: Shape, traits: Traits, one_commit: bool
) -> Execution:
    """Choose how SQL is run (switch `execution`).

    `one_commit` says that nothing is committed between the parts of a settlement, so that Core may
    send all of it as one statement.
    """
    value = defences.execution
    ledger = ledger_of(shape)
    locks = RowLocks.of(traits)
    if value == "orm":
        return Execution(
            books=lambda session: OrmBooks(session, ledger, locks), transfers_whole=False
        )
    read_and_lock = read_and_lock_by(locks)
    return Execution(
        books=lambda session: CoreBooks(session, ledger, read_and_lock, merged=one_commit),
        transfers_whole=value == "function",
    )


__all__ = ["Books", "Execution", "OpenBooks", "StaleVersion", "execution_of"]
