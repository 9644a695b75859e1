"""What the money movements ask of the books."""

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.wallets import Settlement, WalletState


class StaleVersion(Exception):  # noqa: N818 - the version is stale; that is the whole story
    """A wallet has no longer the version that was decided on: nothing may be committed."""


class Books(Protocol):
    def read(self, wallet_ids: Sequence[int], *, lock: bool) -> list[WalletState]:
        """One statement: those of the wallets that exist, by id; locked until the end if asked."""

    def settle(self, settlement: Settlement, checkpoint: Callable[[], None]) -> None:
        """Write everything; `checkpoint` is called after each step.

        Raises StaleVersion when a wallet was changed meanwhile (optimistic locking only).
        """
