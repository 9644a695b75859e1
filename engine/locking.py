"""How wallets are read before a decision and written after it (`locking`, `lock_order`)."""

from collections.abc import Callable, Iterable

from sqlalchemy.orm import Session

from engine.defences import Defences
from engine.wallets import WalletState

LockOrder = Callable[[Iterable[int]], list[tuple[int, ...]]]
"""Wallet ids in groups: one statement reads (and locks) one group."""


def in_request_order(ids: Iterable[int]) -> list[tuple[int, ...]]:
    """Payer, then payee, one statement each: what opposite transfers deadlock on."""
    return [(wallet_id,) for wallet_id in dict.fromkeys(ids)]


def sorted_together(ids: Iterable[int]) -> list[tuple[int, ...]]:
    """All wallets in one statement, smallest id first."""
    return [tuple(sorted(set(ids)))]


def lock_order_of(defences: Defences) -> LockOrder:
    return sorted_together if defences.lock_order == "sorted" else in_request_order


class Locking:
    """What `locking` decides: isolation, whether reading locks rows, what a write insists on."""

    def __init__(self, defences: Defences) -> None:
        locking = defences.locking
        self.locks_rows = locking == "row"
        self._checks_version = locking == "version"
        self._serializable = locking == "serializable"

    def begin(self, session: Session) -> None:
        """To be called before the first statement of a database transaction: it is the snapshot.

        The isolation level travels with BEGIN and costs no round trip.
        """
        if self._serializable and not session.in_transaction():
            session.connection(execution_options={"isolation_level": "SERIALIZABLE"})

    def expected_version(self, wallet: WalletState) -> int | None:
        return wallet.version if self._checks_version else None
