"""What an order is about when its movements follow from something recorded before.

A reversal is about a transaction, a capture or release about a hold, a bonus about its campaign.
Each of them happens once: the code looks first and writes later, which is safe only under the locks
of `locking`; where `constraints` are on, a unique index has the last word.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.books.protocol import StaleVersion
from engine.locking import Locking
from engine.wallets import Movement, Posting, Record

UNIQUE_VIOLATION = "23505"
ONCE = frozenset(
    {"transactions_reversed_once", "transactions_hold_settled_once", "transactions_granted_once"}
)
"""The unique indexes that stand for "at most once"."""


class Subject(Protocol):
    def movements(self, session: Session, locking: Locking) -> tuple[Movement, ...]:
        """What is to be moved. Raises Refused where the caller may not, or there is nothing."""

    def check(self, session: Session) -> None:
        """Look whether it was done before. Raises Refused; called after the wallets were read."""

    def records(self, postings: Sequence[Posting]) -> tuple[Record, ...]:
        """What has to be written with the money."""


@contextmanager
def once_only() -> Iterator[None]:
    """Around writes. Who runs into one of these indexes has decided on what is no longer so.

    Raises StaleVersion: to be decided again, and refused in words then.
    """
    try:
        yield
    except IntegrityError as error:
        if _violated(error) in ONCE:
            raise StaleVersion from error
        raise


def _violated(error: IntegrityError) -> str | None:
    if getattr(error.orig, "pgcode", None) != UNIQUE_VIOLATION:
        return None
    name: str | None = getattr(error.orig, "diag", None) and error.orig.diag.constraint_name  # type: ignore[union-attr]
    return name
