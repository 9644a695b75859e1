"""How much is wrong after a load, in figures: `scenarios.losses`, in SQL."""

from reports.load import Losses
from scenarios.scale import balances, records
from scenarios.scale.store import Store

UNMATCHED = """
SELECT coalesce(sum(greatest(required - recorded, 0)), 0),
       coalesce(sum(greatest(recorded - possible, 0)), 0)
FROM books
"""
"""What was acknowledged and is not recorded; what is recorded and nobody asked for."""


def losses(store: Store, *, whole: bool, records_kept: bool) -> Losses:
    """`whole` is False when operations may be missing: then only the overdrawn are counted."""
    (overdrawn,) = store.row(f"SELECT count(*) FROM ({balances.OVERDRAWN})")
    if not whole:
        return Losses(wallets_overdrawn=overdrawn)
    invented = balances.invented(store)
    found = Losses(
        invented_minor=None if invented is None else float(invented), wallets_overdrawn=overdrawn
    )
    if not records_kept:
        return found
    without, unasked = store.row(UNMATCHED)
    (odd,) = store.row(f"SELECT count(*) FROM ({records.ODD})")
    return found.model_copy(
        update={
            "payments_without_record": int(without),
            "records_without_payment": int(unasked + odd),
        }
    )
