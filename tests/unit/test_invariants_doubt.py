"""What an outcome that nobody knows excuses, and what it does not."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.invariants import (
    acknowledged_is_recorded,
    answered_within,
    balances_are_explained,
    legs_prove_the_balances,
    money_is_conserved,
    never_overdrawn,
    never_paid_out_more_than_held,
    no_stale_read,
    refused,
)
from scenarios.invariants.balances import MOST_UNKNOWN
from scenarios.invariants.observed import shown, works
from scenarios.truth import Balance, GroundTruth, Leg
from tests.unit.histories.imagined import WALLETS, imagine, plans
from tests.unit.histories.small import effect, move, observed, operation

PAID_IN = operation(1, move(None, "a", 100), name="deposit")
LOST = operation(2, move("a", "b", 60), outcome="unknown")


def test_a_lost_transfer_is_whole_or_nothing() -> None:
    for balances in ({"a": 100, "b": 0}, {"a": 40, "b": 60}):
        assert balances_are_explained(observed((PAID_IN, LOST), balances)) == ()
        assert money_is_conserved(observed((PAID_IN, LOST), balances)) == ()
    half = observed((PAID_IN, LOST), {"a": 40, "b": 0})
    (finding,) = balances_are_explained(half)
    assert "each whole or not at all" in finding.summary
    (finding,) = money_is_conserved(half)
    assert finding.summary.startswith("0.60 is missing: ")


def test_money_that_may_have_come_in_may_be_there() -> None:
    lost_deposit = operation(2, move(None, "a", 50), name="deposit", outcome="unknown")
    for total in (100, 150):
        assert money_is_conserved(observed((PAID_IN, lost_deposit), {"a": total})) == ()
    (finding,) = money_is_conserved(observed((PAID_IN, lost_deposit), {"a": 151}))
    assert finding.summary.startswith("0.01 came from nowhere: ")
    assert finding.expected == "total between 1.00 and 1.50"


def test_past_many_unknowns_each_wallet_keeps_its_bounds() -> None:
    lost = tuple(
        operation(n, move("a", "b", 1), outcome="unknown") for n in range(2, MOST_UNKNOWN + 3)
    )
    count = len(lost)
    assert balances_are_explained(observed((PAID_IN, *lost), {"a": 100 - count, "b": count})) == ()
    for wrong in ({"a": 99 - count, "b": 0}, {"a": 100, "b": count + 1}, {"a": 101, "b": 0}):
        assert balances_are_explained(observed((PAID_IN, *lost), wrong))
    no_number = {"a": Decimal("NaN"), "b": Decimal(0)}
    assert balances_are_explained(observed((PAID_IN, *lost), no_number))


@given(chosen=st.lists(plans(), min_size=12, max_size=20))
@settings(max_examples=30, deadline=None)
def test_many_unknowns_accuse_nobody(chosen: list[object]) -> None:
    right = imagine(chosen)  # type: ignore[arg-type] - a list of plans
    assert balances_are_explained(right) == ()
    assert no_stale_read(right) == ()


def test_a_lost_movement_is_recorded_once_or_never() -> None:
    balances = {"a": 100, "b": 0}
    paid_in = effect("e1", None, "a", 100)
    once = effect("e2", "a", "b", 60)
    twice = effect("e3", "a", "b", 60)
    for recorded in ((paid_in,), (paid_in, once)):
        assert acknowledged_is_recorded(observed((PAID_IN, LOST), balances, recorded)) == ()
    (finding,) = acknowledged_is_recorded(
        observed((PAID_IN, LOST), balances, (paid_in, once, twice))
    )
    assert "acknowledged at most 1 times and is recorded 2 times" in finding.summary
    assert finding.expected == "0 to 1 recorded"
    assert finding.operations == (LOST.id,)


def test_the_argument_names_what_is_wrong() -> None:
    told_failed = operation(2, move("a", None, 60), name="withdrawal", outcome="failed")
    applied = observed((told_failed,), {"a": 0}, (effect("e", "a", None, 60),))
    (finding,) = acknowledged_is_recorded(applied)
    assert "told that it failed" in finding.summary
    assert "to outside" in finding.summary
    keyed = [operation(n, move("a", "b", 10), key="k") for n in (3, 4)]
    other = operation(5, move("a", "b", 10), key="l")
    effects = tuple(effect(f"e{n}", "a", "b", 10) for n in range(3))
    (finding,) = acknowledged_is_recorded(observed((*keyed, other), {"a": 0, "b": 0}, effects))
    assert "with 2 keys in 3 requests, and happened 3 times" in finding.summary
    (finding,) = acknowledged_is_recorded(observed(tuple(keyed), {"a": 0, "b": 0}, effects[:2]))
    assert "with one key in 2 requests" in finding.summary


def test_work_with_one_key_is_as_good_as_its_best_answer() -> None:
    first = operation(1, move("a", "b", 5), key="k", outcome="unknown")
    refusal = operation(2, move("a", "b", 5), key="k", outcome="failed")
    done = operation(3, move("a", "b", 5), key="k")
    assert [w.outcome for w in works((first, refusal))] == ["unknown"]
    assert [w.outcome for w in works((first, refusal, done))] == ["ok"]
    assert [w.outcome for w in works((refusal,))] == ["failed"]
    assert works((operation(4, name="read-balance"),)) == ()
    without_key = (operation(5, move("a", "b", 1)), operation(6, move("a", "b", 1)))
    assert len(works(without_key)) == 2


def test_what_may_have_come_in_may_be_paid_out() -> None:
    lost_deposit = operation(2, move(None, "a", 50), name="deposit", outcome="unknown")
    pays = operation(3, move("a", "b", 150))
    balances = {"a": 0, "b": 150}
    assert never_paid_out_more_than_held(observed((PAID_IN, lost_deposit, pays), balances)) == ()
    (finding,) = never_paid_out_more_than_held(observed((PAID_IN, pays), balances))
    assert finding.operations == (pays.id,)
    lost_payment = operation(3, move("a", "b", 150), outcome="unknown")
    assert never_paid_out_more_than_held(observed((PAID_IN, lost_payment), balances)) == ()


def test_some_wallets_may_be_negative() -> None:
    system = Balance(wallet="s", asset="USD", amount_minor=Decimal(-5), may_be_negative=True)
    mine = observed((), {"a": 0})
    both = {**mine.truth.balances, "s": system}
    assert never_overdrawn(_with_truth(mine.operations, GroundTruth(balances=both))) == ()


def _with_truth(operations: object, truth: GroundTruth) -> object:  # pragma: no cover
    raise NotImplementedError


def _read(number: int, seen: object, at: tuple[float, float]) -> object:
    return operation(number, name="read-balance", at=at, values={"balances": {"a": seen}})
