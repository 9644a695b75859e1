"""Every planted defect is found by the invariant that is there for it, which points at it.

The services are random and right (`tests.unit.histories.imagined`); then one thing is broken. No
outcome is unknown here: a lost answer may excuse a defect, which `test_invariants_doubt` is about.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attacks.history import Move, Operation
from scenarios.invariants import (
    Finding,
    Invariant,
    Observed,
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
    replays_answer_alike,
    works,
)
from scenarios.truth import Effect, Leg
from tests.unit.histories.imagined import OPENING_MINOR, WALLETS, services

TOTAL_MINOR = OPENING_MINOR * len(WALLETS)
Choose = Callable[[int], int]
"""Which of n; drawn by Hypothesis."""


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A broken service, and the operations that a finding has to point at."""

    observed: Observed
    culprits: tuple[int, ...] = ()


def _with_balance(observed: Observed, wallet: str, amount: Decimal) -> Observed:
    balances = dict(observed.truth.balances)
    balances[wallet] = replace(balances[wallet], amount_minor=amount)
    return replace(observed, truth=replace(observed.truth, balances=balances))


def _changed(observed: Observed, wallet: str, change: Decimal | int) -> Observed:
    return _with_balance(observed, wallet, observed.truth.balances[wallet].amount_minor + change)


def _with_effects(observed: Observed, effects: tuple[Effect, ...]) -> Observed:
    return replace(observed, truth=replace(observed.truth, effects=effects))


def _with_legs(observed: Observed, legs: tuple[Leg, ...] | None) -> Observed:
    return replace(observed, truth=replace(observed.truth, legs=legs))


def _with_operation(observed: Observed, changed: Operation) -> Observed:
    operations = tuple(changed if o.id == changed.id else o for o in observed.operations)
    return replace(observed, operations=operations)


def _one(observed: Observed, choose: Choose, fits: Callable[[Operation], bool]) -> Operation:
    fitting = [operation for operation in observed.operations if fits(operation)]
    return fitting[choose(len(fitting))]


def _paid(observed: Observed, choose: Choose) -> Operation:
    return _one(observed, choose, lambda o: o.name == "transfer" and o.outcome == "ok")


def _deliveries(observed: Observed, operation: Operation) -> tuple[int, ...]:
    return tuple(o.id for o in observed.operations if o.key == operation.key)


def _effect_of(move: Move, observed: Observed) -> Effect:
    return next(
        e
        for e in observed.truth.effects
        if (e.payer, e.payee) == (move.payer, move.payee) and e.amount_minor == move.amount_minor
    )


def lost_update(observed: Observed, choose: Choose) -> Planted:
    paid = _paid(observed, choose)
    move = paid.moves[0]
    assert move.payer
    return Planted(
        observed=_changed(observed, move.payer, move.amount_minor),
        culprits=_deliveries(observed, paid),
    )


def half_transfer(observed: Observed, choose: Choose) -> Planted:
    paid = _paid(observed, choose)
    move = paid.moves[0]
    assert move.payee
    return Planted(
        observed=_changed(observed, move.payee, -move.amount_minor),
        culprits=_deliveries(observed, paid),
    )


def second_effect_for_a_key(observed: Observed, choose: Choose) -> Planted:
    paid = _paid(observed, choose)
    (move,) = paid.moves
    assert move.payer
    assert move.payee
    twin = replace(_effect_of(move, observed), id="twin")
    broken = _with_effects(observed, (*observed.truth.effects, twin))
    broken = _changed(broken, move.payer, -move.amount_minor)
    broken = _changed(broken, move.payee, move.amount_minor)
    return Planted(observed=broken, culprits=_deliveries(observed, paid))


def failed_and_yet_applied(observed: Observed, choose: Choose) -> Planted:
    refusal = _one(observed, choose, lambda o: o.name == "withdrawal" and o.outcome == "failed")
    (move,) = refusal.moves
    assert move.payer
    effect = Effect(id="sly", payer=move.payer, payee=None, amount_minor=Decimal(move.amount_minor))
    broken = _with_effects(observed, (*observed.truth.effects, effect))
    broken = _changed(broken, move.payer, -move.amount_minor)
    return Planted(observed=broken, culprits=_deliveries(observed, refusal))


def acknowledged_and_yet_missing(observed: Observed, choose: Choose) -> Planted:
    paid = _paid(observed, choose)
    (move,) = paid.moves
    assert move.payer
    assert move.payee
    gone = _effect_of(move, observed)
    broken = _with_effects(observed, tuple(e for e in observed.truth.effects if e is not gone))
    broken = _changed(broken, move.payer, move.amount_minor)
    broken = _changed(broken, move.payee, -move.amount_minor)
    return Planted(observed=broken, culprits=_deliveries(observed, paid))


def nobody_asked_for_it(observed: Observed, choose: Choose) -> Planted:
    # One minor unit: nobody ever asks for that.
    effect = Effect(id="ghost", payer="1", payee="2", amount_minor=Decimal(1))
    return Planted(observed=_with_effects(observed, (*observed.truth.effects, effect)))


def half_a_cent_too_much(observed: Observed, choose: Choose) -> Planted:
    effects = observed.truth.effects
    chosen = effects[choose(len(effects))]
    inexact = replace(chosen, amount_minor=chosen.amount_minor + Decimal("0.5"))
    return Planted(
        observed=_with_effects(observed, tuple(inexact if e is chosen else e for e in effects))
    )


def negative_balance(observed: Observed, choose: Choose) -> Planted:
    return Planted(observed=_with_balance(observed, WALLETS[choose(3)], Decimal(-1)))


def balance_that_is_no_number(observed: Observed, choose: Choose) -> Planted:
    return Planted(observed=_with_balance(observed, WALLETS[choose(3)], Decimal("NaN")))


def infinite_balances(observed: Observed, choose: Choose) -> Planted:
    broken = _with_balance(observed, "1", Decimal("Infinity"))
    return Planted(observed=_with_balance(broken, "2", Decimal("-Infinity")))


def money_from_nowhere(observed: Observed, choose: Choose) -> Planted:
    return Planted(observed=_changed(observed, WALLETS[choose(3)], 1))


def more_paid_than_held(observed: Observed, choose: Choose) -> Planted:
    payer, payee = WALLETS[choose(3)], "shop"
    everything = TOTAL_MINOR + sum(m.amount_minor for o in observed.operations for m in o.moves)
    template = observed.operations[0]
    new_id = max(o.id for o in observed.operations) + 1
    paid = replace(
        template,
        id=new_id,
        key="overdraft",
        name="transfer",
        moves=(Move(payer=payer, payee=payee, amount_minor=everything + 1),),
    )
    broken = replace(observed, operations=(*observed.operations, paid))
    return Planted(observed=broken, culprits=(new_id,))


def _legs(observed: Observed) -> tuple[Leg, ...]:
    assert observed.truth.legs
    return observed.truth.legs


def no_legs_at_all(observed: Observed, choose: Choose) -> Planted:
    return Planted(observed=_with_legs(observed, None))


def missing_leg(observed: Observed, choose: Choose) -> Planted:
    legs = _legs(observed)
    gone = choose(len(legs))
    return Planted(observed=_with_legs(observed, legs[:gone] + legs[gone + 1 :]))


def gap_in_the_numbering(observed: Observed, choose: Choose) -> Planted:
    legs = _legs(observed)
    wallet = legs[choose(len(legs))].wallet
    assume(sum(leg.wallet == wallet for leg in legs) > 1)  # A single one may have any number.
    last = max(leg.position for leg in legs if leg.wallet == wallet)
    moved = tuple(
        replace(leg, position=last + 1) if (leg.wallet, leg.position) == (wallet, last) else leg
        for leg in legs
    )
    return Planted(observed=_with_legs(observed, moved))


def swapped_legs(observed: Observed, choose: Choose) -> Planted:
    legs = _legs(observed)
    effect = legs[choose(len(legs))].effect
    swapped = tuple(
        replace(leg, amount_minor=-leg.amount_minor) if leg.effect == effect else leg
        for leg in legs
    )
    return Planted(observed=_with_legs(observed, swapped))


def wrong_balance_after(observed: Observed, choose: Choose) -> Planted:
    legs = _legs(observed)
    chosen = legs[choose(len(legs))]
    wrong = replace(chosen, balance_after_minor=chosen.balance_after_minor + 1)
    return Planted(observed=_with_legs(observed, tuple(wrong if x is chosen else x for x in legs)))


def books_that_began_with_something(observed: Observed, choose: Choose) -> Planted:
    wallet = WALLETS[choose(3)]
    shifted = tuple(
        replace(leg, balance_after_minor=leg.balance_after_minor + 100)
        if leg.wallet == wallet
        else leg
        for leg in _legs(observed)
    )
    return Planted(observed=_with_legs(observed, shifted))


def leg_without_its_movement(observed: Observed, choose: Choose) -> Planted:
    wallet = WALLETS[choose(3)]
    balance = observed.truth.balances[wallet].amount_minor + 100
    last = max(leg.position for leg in _legs(observed) if leg.wallet == wallet)
    orphan = Leg(
        effect="nowhere",
        wallet=wallet,
        amount_minor=Decimal(100),
        balance_after_minor=balance,
        position=last + 1,
    )
    broken = _with_legs(observed, (*_legs(observed), orphan))
    return Planted(observed=_with_balance(broken, wallet, balance))


def wallet_without_legs(observed: Observed, choose: Choose) -> Planted:
    wallet = WALLETS[choose(3)]
    effects = {leg.effect for leg in _legs(observed) if leg.wallet == wallet}
    broken = _with_effects(
        observed, tuple(e for e in observed.truth.effects if e.id not in effects)
    )
    kept = tuple(leg for leg in _legs(observed) if leg.effect not in effects)
    return Planted(observed=_changed(_with_legs(broken, kept), wallet, 1))


def stale_read(observed: Observed, choose: Choose) -> Planted:
    read = _one(observed, choose, lambda o: o.name == "read-balance")
    ((wallet, seen),) = read.values["balances"].items()
    wrong = replace(read, values={"balances": {wallet: seen + 1}})
    return Planted(observed=_with_operation(observed, wrong), culprits=(read.id,))


def read_of_no_number(observed: Observed, choose: Choose) -> Planted:
    read = _one(observed, choose, lambda o: o.name == "read-balance")
    wrong = replace(read, values={"balances": dict.fromkeys(read.values["balances"], "NaN")})
    return Planted(observed=_with_operation(observed, wrong), culprits=(read.id,))


def _bulk(observed: Observed, choose: Choose, seen: Callable[[int], object]) -> Planted:
    read = _one(observed, choose, lambda o: o.name == "read-balances")
    balances = dict(read.values["balances"])
    balances["1"] = seen(balances["1"])
    wrong = replace(read, values={"balances": balances})
    return Planted(observed=_with_operation(observed, wrong), culprits=(read.id,))


def bulk_read_that_misses_money(observed: Observed, choose: Choose) -> Planted:
    return _bulk(observed, choose, lambda amount: amount - 1)


def bulk_read_that_sees_money_twice(observed: Observed, choose: Choose) -> Planted:
    return _bulk(observed, choose, lambda amount: amount + 1)


def bulk_read_of_no_number(observed: Observed, choose: Choose) -> Planted:
    return _bulk(observed, choose, lambda _: "NaN")


def server_error(observed: Observed, choose: Choose) -> Planted:
    broken = replace(_one(observed, choose, lambda _: True), status=500 + choose(100))
    return Planted(observed=_with_operation(observed, broken), culprits=(broken.id,))


def slow_answer(observed: Observed, choose: Choose) -> Planted:
    quick = _one(observed, choose, lambda _: True)
    slow = replace(quick, ended_s=quick.started_s + 6.1)
    return Planted(observed=_with_operation(observed, slow), culprits=(slow.id,))


def bad_request_that_is_served(observed: Observed, choose: Choose) -> Planted:
    served = replace(_one(observed, choose, lambda o: o.name == "bad-transfer"), status=201)
    return Planted(observed=_with_operation(observed, served), culprits=(served.id,))


def replay_with_another_answer(observed: Observed, choose: Choose) -> Planted:
    acknowledged = [
        work
        for work in works(observed.operations)
        if work.outcome == "ok" and len(work.operations) > 1
    ]
    work = acknowledged[choose(len(acknowledged))]
    other = replace(work.operations[-1], values={"body": "another movement"})
    culprits = tuple(o.id for o in work.operations)
    return Planted(observed=_with_operation(observed, other), culprits=culprits)


Plant = Callable[[Observed, Choose], Planted]
CASES: tuple[tuple[Plant, Invariant, str], ...] = (
    (lost_update, balances_are_explained, "balances are explained by the answers"),
    (lost_update, money_is_conserved, "money is conserved"),
    (half_transfer, balances_are_explained, "balances are explained by the answers"),
    (half_transfer, money_is_conserved, "money is conserved"),
    (second_effect_for_a_key, acknowledged_is_recorded, "acknowledged = recorded, once a key"),
    (second_effect_for_a_key, balances_are_explained, "balances are explained by the answers"),
    (failed_and_yet_applied, acknowledged_is_recorded, "acknowledged = recorded, once a key"),
    (failed_and_yet_applied, balances_are_explained, "balances are explained by the answers"),
    (failed_and_yet_applied, money_is_conserved, "money is conserved"),
    (
        acknowledged_and_yet_missing,
        acknowledged_is_recorded,
        "acknowledged = recorded, once a key",
    ),
    (acknowledged_and_yet_missing, balances_are_explained, "balances are explained by the answers"),
    (nobody_asked_for_it, acknowledged_is_recorded, "acknowledged = recorded, once a key"),
    (half_a_cent_too_much, acknowledged_is_recorded, "acknowledged = recorded, once a key"),
    (negative_balance, never_overdrawn, "never overdrawn"),
    (balance_that_is_no_number, never_overdrawn, "never overdrawn"),
    (balance_that_is_no_number, money_is_conserved, "money is conserved"),
    (balance_that_is_no_number, balances_are_explained, "balances are explained by the answers"),
    (balance_that_is_no_number, legs_prove_the_balances, "legs prove the balances"),
    (infinite_balances, never_overdrawn, "never overdrawn"),
    (infinite_balances, money_is_conserved, "money is conserved"),
    (money_from_nowhere, money_is_conserved, "money is conserved"),
    (money_from_nowhere, balances_are_explained, "balances are explained by the answers"),
    (money_from_nowhere, legs_prove_the_balances, "legs prove the balances"),
    (more_paid_than_held, never_paid_out_more_than_held, "never paid out more than held"),
    (no_legs_at_all, legs_prove_the_balances, "legs prove the balances"),
    (missing_leg, legs_prove_the_balances, "legs prove the balances"),
    (gap_in_the_numbering, legs_prove_the_balances, "legs prove the balances"),
    (swapped_legs, legs_prove_the_balances, "legs prove the balances"),
    (wrong_balance_after, legs_prove_the_balances, "legs prove the balances"),
    (books_that_began_with_something, legs_prove_the_balances, "legs prove the balances"),
    (leg_without_its_movement, legs_prove_the_balances, "legs prove the balances"),
    (wallet_without_legs, legs_prove_the_balances, "legs prove the balances"),
    (stale_read, no_stale_read, "no stale read"),
    (read_of_no_number, no_stale_read, "no stale read"),
    (server_error, no_server_error, "no server error"),
    (slow_answer, answered_within(6.0), "answered within 6 s"),
    (bad_request_that_is_served, refused("bad-transfer"), "bad requests are refused"),
    (replay_with_another_answer, replays_answer_alike, "replays get the first answer"),
)
BULK_CASES: tuple[Plant, ...] = (
    bulk_read_that_misses_money,
    bulk_read_that_sees_money_twice,
    bulk_read_of_no_number,
)

FEW = settings(max_examples=12)


def _drawn(data: st.DataObject) -> Choose:
    return lambda count: data.draw(st.integers(0, count - 1))


def _assert_found(findings: tuple[Finding, ...], planted: Planted, name: str) -> None:
    assert findings
    assert {finding.invariant for finding in findings} == {name}
    assert {finding.round for finding in findings} == {1}
    pointed_at = {operation for finding in findings for operation in finding.operations}
    if name == "balances are explained by the answers":
        # It rests on all work of the round, each by its first request.
        assert not planted.culprits or pointed_at & set(planted.culprits)
    elif name not in ("money is conserved", "legs prove the balances"):
        assert pointed_at >= set(planted.culprits)
    assert all(finding.summary.endswith(".") for finding in findings)


@pytest.mark.parametrize(
    ("plant", "judge", "name"), CASES, ids=[f"{plant.__name__}-{name}" for plant, _, name in CASES]
)
@given(observed=services(answered=True), data=st.data())
@FEW
def test_a_planted_defect_is_found(
    plant: Plant, judge: Invariant, name: str, observed: Observed, data: st.DataObject
) -> None:
    planted = plant(observed, _drawn(data))
    _assert_found(judge(planted.observed), planted, name)


@pytest.mark.parametrize("plant", BULK_CASES)
@given(observed=services(answered=True, closed=True), data=st.data())
@FEW
def test_a_skewed_bulk_read_is_found(plant: Plant, observed: Observed, data: st.DataObject) -> None:
    planted = plant(observed, _drawn(data))
    findings = bulk_reads_see(TOTAL_MINOR)(planted.observed)
    _assert_found(findings, planted, "a bulk read sees one moment")
