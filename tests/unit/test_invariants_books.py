"""The judges of whole books, both ways: sums over everything, and books that record nothing."""

from dataclasses import replace
from decimal import Decimal

from scenarios.invariants import (
    Observed,
    acknowledged_is_recorded,
    everything_sums_to_zero,
    legs_prove_the_balances,
    movements_can_be_found,
)
from tests.unit.histories.small import effect, move, observed, operation

PAID = operation(1, move(None, "1", 5_00), name="deposit")
REFUSED = operation(2, move("1", "2", 9_00), outcome="failed")
SEEN = observed((PAID, REFUSED), {"1": 5_00}, (effect("e1", None, "1", 5_00),))


def unrecorded(seen: Observed) -> Observed:
    return replace(seen, truth=replace(seen.truth, effects=(), records_kept=False))


def with_totals(**totals: str) -> Observed:
    amounts = {asset: Decimal(total) for asset, total in totals.items()}
    return replace(SEEN, truth=replace(SEEN.truth, totals=amounts))


def test_what_is_acknowledged_has_to_be_recorded_somewhere() -> None:
    assert movements_can_be_found(SEEN) == ()
    (finding,) = movements_can_be_found(unrecorded(SEEN))
    assert finding.operations == (1,)
    assert "deposit 1" in finding.summary
    nothing_done = replace(SEEN, operations=(REFUSED,))
    assert movements_can_be_found(unrecorded(nothing_done)) == ()


def test_answers_are_compared_with_records_only_where_there_are_any() -> None:
    forgotten = replace(SEEN, truth=replace(SEEN.truth, effects=()))
    assert acknowledged_is_recorded(forgotten) != ()
    assert acknowledged_is_recorded(unrecorded(SEEN)) == ()
    (finding,) = legs_prove_the_balances(unrecorded(SEEN))
    assert finding.observed == "nothing"


def test_all_balances_of_an_asset_are_zero_together() -> None:
    assert everything_sums_to_zero(with_totals(USD="0.0", GOLD="0")) == ()
    (finding,) = everything_sums_to_zero(with_totals(USD="500", GOLD="0"))
    assert "All wallets of USD hold 5.00 together" in finding.summary
    assert finding.operations == (1,)
    assert len(everything_sums_to_zero(with_totals(USD="NaN"))) == 1
