"""What the money movements ask of the books."""

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.wallets import Settlement, WalletState, Write


class StaleVersion(Exception):  # noqa: N818 - the version is stale; that is the whole story
    """A wallet is no longer what was decided on: nothing may be committed."""


class Books(Protocol):
    def read(self, wallet_ids: Sequence[int], *, lock: bool) -> list[WalletState]:
        """One statement: those of the wallets that exist, by id; locked until the end if asked."""

    def settle(self, settlement: Settlement, checkpoint: Callable[[], None]) -> Sequence[Write]:
        """Write everything; `checkpoint` is called after each step. Returns what is there now.

        Raises StaleVersion when a wallet was changed meanwhile, so that its version is another or
        a change no longer fits (only where a write insists on either); and what a mark says that
        finds no row.
        """
