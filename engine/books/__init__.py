"""The wallets' books: reading wallets and writing settlements, by ORM objects or by Core SQL."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from engine.books.core import CoreBooks
from engine.books.ledger import both_legs, no_legs
from engine.books.orm import OrmBooks
from engine.books.protocol import Books, StaleVersion
from engine.defences import Defences

OpenBooks = Callable[[Session], Books]


def books_of(defences: Defences, *, double_entry: bool, one_commit: bool) -> OpenBooks:
    """Choose how SQL is run (switch `execution`).

    `one_commit` says that nothing is committed between the parts of a settlement, so that Core may
    send all of it as one statement.
    """
    ledger = both_legs if double_entry else no_legs
    if defences.execution == "orm":
        return lambda session: OrmBooks(session, ledger)
    return lambda session: CoreBooks(session, ledger, merged=one_commit)


__all__ = ["Books", "OpenBooks", "StaleVersion", "books_of"]
