"""The wallets' books: reading wallets and writing settlements, by ORM objects or by Core SQL."""

from collections.abc import Callable

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


def books_of(defences: Defences, *, shape: Shape, traits: Traits, one_commit: bool) -> OpenBooks:
    """Choose how SQL is run (switch `execution`).

    `one_commit` says that nothing is committed between the parts of a settlement, so that Core may
    send all of it as one statement.
    """
    ledger = ledger_of(shape)
    locks = RowLocks.of(traits)
    if defences.execution == "orm":
        return lambda session: OrmBooks(session, ledger, locks)
    read_and_lock = read_and_lock_by(locks)
    return lambda session: CoreBooks(session, ledger, read_and_lock, merged=one_commit)


__all__ = ["Books", "OpenBooks", "StaleVersion", "books_of"]
