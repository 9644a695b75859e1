"""Which rows a posting leaves in the ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.shape import Shape
from engine.wallets import Leg, Posting, Settlement, Write


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Which rows a posting becomes."""

    keeps_movements: bool
    """A row in `transactions`; else balances are changed, and nobody can say by what."""
    legs: Callable[[Posting], Sequence[Leg]]

    def recorded(self, postings: Sequence[Posting]) -> Sequence[Posting]:
        return postings if self.keeps_movements else ()


def ledger_of(shape: Shape) -> Ledger:
    """The hashes of `hash_chain` are the database's own work: a trigger chains whatever comes."""
    return Ledger(
        keeps_movements=shape.recorded_movements,
        legs=both_legs if shape.double_entry else no_legs,
    )


def both_legs(posting: Posting) -> Sequence[Leg]:
    """A debit and a credit, so that every balance can be proved from its legs."""
    return posting.legs


def no_legs(_: Posting) -> Sequence[Leg]:
    """The transaction's own row is all there is."""
    return ()


def as_written(settlement: Settlement, written: Sequence[Write]) -> Settlement:
    """The settlement with the balances and versions that came out when changes were added."""
    decided = {write.wallet_id: write for write in settlement.writes}
    moved = {
        write.wallet_id: (
            write.balance - decided[write.wallet_id].balance,
            write.version - decided[write.wallet_id].version,
        )
        for write in written
    }

    def corrected(leg: Leg) -> Leg:
        balance, versions = moved[leg.wallet_id]
        return replace(
            leg,
            balance_after=leg.balance_after + balance,
            wallet_version=leg.wallet_version + versions,
        )

    postings = tuple(
        replace(posting, legs=tuple(map(corrected, posting.legs)))
        for posting in settlement.postings
    )
    return replace(settlement, writes=tuple(written), postings=postings)
