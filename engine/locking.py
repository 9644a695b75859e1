"""How wallets are read before a decision and written after it (`locking`, `lock_order`)."""

from collections.abc import Callable, Iterable

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
    """What `locking` decides: whether rows are locked when read, and what a write insists on."""

    def __init__(self, defences: Defences) -> None:
        locking = defences.locking
        self.locks_rows = locking == "row"
        self._checks_version = locking == "version"

    def expected_version(self, wallet: WalletState) -> int | None:
        return wallet.version if self._checks_version else None
