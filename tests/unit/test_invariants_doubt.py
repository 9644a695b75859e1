"""What an outcome that nobody knows excuses, and what it does not."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.history import History, Operation
from scenarios.invariants import (
    acknowledged_is_recorded,
    answered_within,
    balances_are_explained,
    bulk_reads_see,
    legs_prove_the_balances,
    money_is_conserved,
    never_overdrawn,
    never_paid_out_more_than_held,
    no_server_error,
    no_stale_read,
    refused,
)
from scenarios.invariants.balances import MOST_UNKNOWN
from scenarios.invariants.observed import shown, works
from scenarios.requirements import answered
from scenarios.truth import Balance, GroundTruth, Leg
from tests.unit.histories.imagined import Plan, imagine, plans
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


def test_a_wallet_that_was_paid_and_is_not_in_the_database_is_missed() -> None:
    paid = operation(2, move("a", "gone", 60))
    (finding,) = balances_are_explained(observed((PAID_IN, paid), {"a": 40}))
    assert "it should be wallet gone: 0.60, but wallet gone holds 0.00" in finding.summary
    lost = operation(2, move("a", "never-there", 60), outcome="unknown")
    assert balances_are_explained(observed((PAID_IN, lost), {"a": 100})) == ()
    assert balances_are_explained(observed((PAID_IN, lost), {"a": 40}))


def test_money_that_may_have_come_in_may_be_there() -> None:
    lost_deposit = operation(2, move(None, "a", 50), name="deposit", outcome="unknown")
    for total in (100, 150):
        assert money_is_conserved(observed((PAID_IN, lost_deposit), {"a": total})) == ()
    (finding,) = money_is_conserved(observed((PAID_IN, lost_deposit), {"a": 151}))
    assert finding.summary.startswith("0.01 came from nowhere: ")
    assert finding.expected == "total between 1.00 and 1.50"


def test_up_to_many_unknowns_each_is_whole_or_nothing() -> None:
    lost = [operation(n, move("a", "b", 2), outcome="unknown") for n in range(2, MOST_UNKNOWN + 2)]
    assert len(lost) == MOST_UNKNOWN
    assert balances_are_explained(observed((PAID_IN, *lost), {"a": 98, "b": 2})) == ()
    assert balances_are_explained(observed((PAID_IN, *lost), {"a": 99, "b": 1}))


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
@settings(max_examples=30)
def test_many_unknowns_accuse_nobody(chosen: list[Plan]) -> None:
    right = imagine(chosen)
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
    assert finding.summary.endswith("1.50 went out, 0.50 more than was there.")
    lost_payment = operation(3, move("a", "b", 150), outcome="unknown")
    assert never_paid_out_more_than_held(observed((PAID_IN, lost_payment), balances)) == ()


def test_some_wallets_may_be_negative() -> None:
    system = Balance(wallet="s", asset="USD", amount_minor=Decimal(-5), may_be_negative=True)
    seen = observed((), {"a": 0})
    balances = {**seen.truth.balances, "s": system}
    assert never_overdrawn(replace(seen, truth=GroundTruth(balances=balances))) == ()


def _read(number: int, seen: object, at: tuple[float, float]) -> Operation:
    return operation(number, name="read-balance", at=at, values={"balances": {"a": seen}})


def test_a_read_may_see_work_that_is_under_way_or_lost_but_not_miss_what_was_acknowledged() -> None:
    under_way = operation(2, move("a", "b", 60), at=(2, 9))
    for seen in (100, 40):
        during = _read(3, seen, (3, 4))
        assert no_stale_read(observed((PAID_IN, under_way, during), {"a": 40})) == ()
        late = _read(3, seen, (20, 21))
        assert no_stale_read(observed((PAID_IN, LOST, late), {"a": 40})) == ()
    stale = _read(4, 100, (10, 11))
    (finding,) = no_stale_read(observed((PAID_IN, under_way, stale), {"a": 40}))
    assert finding.operations == (stale.id,)
    assert "read 1.00 from wallet a when the acknowledged balance was 0.40" in finding.summary


def test_a_read_does_not_see_what_begins_after_it_or_was_refused() -> None:
    read = _read(2, 40, (2, 2.5))
    later = operation(3, move("a", "b", 60))
    assert no_stale_read(observed((PAID_IN, read, later), {"a": 40}))
    refusal = operation(4, move("a", "b", 60), at=(1.6, 1.7), outcome="failed")
    assert no_stale_read(observed((PAID_IN, refusal, read), {"a": 40}))
    unread = replace(read, outcome="failed")
    assert no_stale_read(observed((PAID_IN, unread, later), {"a": 40})) == ()


def test_thousands_under_way_are_judged_at_once() -> None:
    """Every combination of 3,000 payments would never end; sums that are equal fall together."""
    paid_in = operation(1, move(None, "a", 3_000), name="deposit")
    under_way = [operation(n, move("a", "b", 1), at=(2, 9)) for n in range(2, 3_002)]
    for seen, right in ((0, True), (1_234, True), (3_001, False)):
        read = _read(9_000, seen, (3, 4))
        judged = no_stale_read(observed((paid_in, *under_way, read), {"a": 0}))
        assert (judged == ()) is right


def test_a_request_without_an_answer_accuses_nobody_and_leaves_a_doubt() -> None:
    bad = operation(1, name="bad-transfer", outcome="unknown")
    assert refused("bad-transfer")(observed((bad, PAID_IN), {})) == ()
    assert answered("bad-transfer")(History(operations=(bad, PAID_IN)))
    heard = operation(2, name="bad-transfer", outcome="failed", status=422)
    assert answered("bad-transfer")(History(operations=(heard, PAID_IN))) is None


@pytest.mark.parametrize(
    ("status", "refusal"), [(399, False), (400, True), (422, True), (499, True), (500, False)]
)
def test_only_4xx_is_a_refusal(status: int, refusal: bool) -> None:
    bad = operation(1, name="bad-transfer", outcome="failed", status=status)
    assert (refused("bad-transfer")(observed((bad,), {})) == ()) is refusal
    assert refused("other")(observed((bad,), {})) == ()


@pytest.mark.parametrize(("status", "broken"), [(499, False), (500, True), (599, True)])
def test_only_5xx_is_a_server_error(status: int, broken: bool) -> None:
    answer = operation(1, outcome="failed", status=status)
    assert (no_server_error(observed((answer,), {})) != ()) is broken
    assert no_server_error(observed((LOST,), {})) == ()


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (30, "saw 1.30 in all wallets together, while 2.00 was there all the time: 0.70 was miss"),
        (170, "saw 2.70 in all wallets together, while 2.00 was there all the time: 0.70 was nev"),
        ("NaN", "saw NaN in all wallets together, while 2.00 was there all the time."),
    ],
)
def test_a_skewed_read_tells_what_it_missed(second: object, told: str) -> None:
    right = operation(1, name="read-balances", values={"balances": {"a": 100, "b": 100}})
    skewed = operation(2, name="read-balances", values={"balances": {"a": 100, "b": second}})
    unread = operation(3, name="read-balances", outcome="unknown")
    (finding,) = bulk_reads_see(200)(observed((right, skewed, unread), {}))
    assert told in finding.summary
    assert finding.summary.endswith("1 of 2 bulk reads saw a wrong total.")


def test_the_slowest_is_named_and_the_late_ones_counted() -> None:
    quick, slow = operation(1), operation(2, at=(2, 6))
    slowest = operation(3, at=(3, 9), actor="B")
    (finding,) = answered_within(2)(observed((quick, slow, slowest), {}))
    assert finding.operations == (slow.id, slowest.id)
    assert finding.summary.startswith("B asked to transfer 3 and waited 6.0 s")
    assert "2 of 3 requests took longer than 2 s" in finding.summary


def test_paying_oneself_leaves_a_debit_and_a_credit() -> None:
    itself = effect("e2", "a", "a", 30)
    legs = [
        Leg(
            effect=name,
            wallet="a",
            amount_minor=Decimal(amount),
            balance_after_minor=Decimal(after),
            position=position,
        )
        for name, amount, after, position in (
            ("e1", 100, 100, 1),
            ("e2", -30, 70, 2),
            ("e2", 30, 100, 3),
        )
    ]
    seen = observed((), {"a": 100}, (effect("e1", None, "a", 100), itself))
    right = replace(seen, truth=replace(seen.truth, legs=tuple(legs)))
    assert legs_prove_the_balances(right) == ()
    wrong = replace(seen, truth=replace(seen.truth, legs=tuple(legs[:2])))
    assert legs_prove_the_balances(wrong)


def test_a_gap_in_the_books_is_told_by_the_first_leg_that_is_wrong() -> None:
    leg = Leg(
        effect="e1",
        wallet="a",
        amount_minor=Decimal(50),
        balance_after_minor=Decimal(100),
        position=2,
    )
    seen = observed((), {"a": 100}, (effect("e1", None, "a", 50),))
    (finding,) = legs_prove_the_balances(replace(seen, truth=replace(seen.truth, legs=(leg,))))
    assert finding.summary == (
        "Wallet a: after leg 2 the legs add up to 0.50, the ledger says 1.00."
    )
    (finding,) = legs_prove_the_balances(
        replace(seen, truth=replace(seen.truth, legs=(), effects=()))
    )
    assert finding.summary == "Wallet a holds 1.00, its legs add up to 0.00."


def test_amounts_are_shown_as_people_read_them() -> None:
    amounts = (10_000, -5, Decimal("33.5"), Decimal("NaN"), Decimal("-Infinity"))
    assert [shown(amount) for amount in amounts] == ["100.00", "-0.05", "0.335", "NaN", "-Infinity"]
