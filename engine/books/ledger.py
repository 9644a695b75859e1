"""Which rows a posting leaves in the ledger."""

from collections.abc import Callable, Sequence

from engine.wallets import Leg, Posting

LedgerWriter = Callable[[Posting], Sequence[Leg]]


def both_legs(posting: Posting) -> Sequence[Leg]:
    """A debit and a credit, so that every balance can be proved from its legs."""
    return posting.legs


def no_legs(_: Posting) -> Sequence[Leg]:
    """The transaction's own row is all there is."""
    return ()
