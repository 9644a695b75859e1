"""The judge by SQL against the small one: random services, right ones and ones that were broken."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.history import History, Move, Operation
from reports.evidence import Verdict
from scenarios.audit import Audit, audit
from scenarios.invariants import Observed
from scenarios.scale import audit_archive
from scenarios.truth import GroundTruth
from tests.unit.histories.archived import archived
from tests.unit.histories.imagined import services

pytestmark = pytest.mark.slow

RECORDS = "the records explain the balances"
KEYS = "a key has one effect and one answer"
ODD_AMOUNTS = (
    Decimal("NaN"),
    Decimal("Infinity"),
    Decimal("0.5"),
    Decimal("1e-15"),
    Decimal(10**25),
)
Breaker = Callable[[GroundTruth, int], GroundTruth]


def large(history: History, truth: GroundTruth) -> Audit:
    with tempfile.TemporaryDirectory() as folder:
        archived(Path(folder), history, truth)
        return audit_archive(Path(folder))


def verdicts(judged: Audit, among: Audit) -> dict[str, Verdict]:
    claims = {check.claim for check in among.checks}
    return {check.claim: check.verdict for check in judged.checks if check.claim in claims}


def assert_alike(history: History, truth: GroundTruth) -> Audit:
    small, found = audit(history, truth), large(history, truth)
    assert verdicts(found, small) == verdicts(small, small)
    assert (found.payments, found.doubts) == (small.payments, small.doubts)
    assert found.losses == small.losses
    return found


def history_of(observed: Observed) -> History:
    return History(operations=tuple(replace(o, round=None) for o in observed.operations))


@given(observed=services())
@settings(max_examples=12, deadline=None)
def test_a_service_that_is_right_is_not_accused(observed: Observed) -> None:
    found = assert_alike(history_of(observed), observed.truth)
    assert {check.verdict for check in found.checks} == {Verdict.HELD}


def lose_effect(truth: GroundTruth, which: int) -> GroundTruth:
    kept = list(truth.effects)
    del kept[which % len(kept)]
    return replace(truth, effects=tuple(kept))


def double_effect(truth: GroundTruth, which: int) -> GroundTruth:
    twin = replace(truth.effects[which % len(truth.effects)], id="twin")
    return replace(truth, effects=(*truth.effects, twin))


def undo_effect(truth: GroundTruth, which: int) -> GroundTruth:
    """Not recorded, and the money is where it was."""
    effect = truth.effects[which % len(truth.effects)]
    changed = dict(truth.balances)
    for wallet, change in (
        (effect.payer, effect.amount_minor),
        (effect.payee, -effect.amount_minor),
    ):
        if wallet is not None:
            before = changed[wallet]
            changed[wallet] = replace(before, amount_minor=before.amount_minor + change)
    return replace(lose_effect(truth, which), balances=changed)


def balance_off(change: Decimal) -> Breaker:
    def broken(truth: GroundTruth, which: int) -> GroundTruth:
        wallet = list(truth.balances)[which % len(truth.balances)]
        before = truth.balances[wallet]
        amount = change if not change.is_finite() else before.amount_minor + change
        balances = {**truth.balances, wallet: replace(before, amount_minor=amount)}
        return replace(truth, balances=balances)

    return broken


def leg_off(field: str, change: Decimal) -> Breaker:
    def broken(truth: GroundTruth, which: int) -> GroundTruth:
        legs = list(truth.legs or ())
        leg = legs[which % len(legs)]
        amount = change if not change.is_finite() else getattr(leg, field) + change
        legs[which % len(legs)] = replace(leg, **{field: amount})  # type: ignore[arg-type]
        return replace(truth, legs=tuple(legs))

    return broken


def effect_off(change: Decimal) -> Breaker:
    def broken(truth: GroundTruth, which: int) -> GroundTruth:
        effects = list(truth.effects)
        effect = effects[which % len(effects)]
        amount = change if not change.is_finite() else effect.amount_minor + change
        effects[which % len(effects)] = replace(effect, amount_minor=amount)
        return replace(truth, effects=tuple(effects))

    return broken


def lose_leg(truth: GroundTruth, which: int) -> GroundTruth:
    legs = list(truth.legs or ())
    del legs[which % len(legs)]
    return replace(truth, legs=tuple(legs))


def position_off(truth: GroundTruth, which: int) -> GroundTruth:
    legs = list(truth.legs or ())
    leg = legs[which % len(legs)]
    legs[which % len(legs)] = replace(leg, position=leg.position + 1)
    return replace(truth, legs=tuple(legs))


def lose_wallet(truth: GroundTruth, which: int) -> GroundTruth:
    kept = dict(truth.balances)
    del kept[list(kept)[which % len(kept)]]
    return replace(truth, balances=kept)


def keep_no_records(truth: GroundTruth, _: int) -> GroundTruth:
    return replace(truth, effects=(), legs=None, records_kept=False)


BREAKERS: dict[str, Breaker] = {
    "lose effect": lose_effect,
    "double effect": double_effect,
    "undo effect": undo_effect,
    "lose leg": lose_leg,
    "position off": position_off,
    "lose wallet": lose_wallet,
    "keep no records": keep_no_records,
    **{f"balance off by {amount}": balance_off(amount) for amount in (*ODD_AMOUNTS, Decimal(1))},
    **{f"balance off by {amount}": balance_off(Decimal(amount)) for amount in (-10, 10, -10_000)},
    **{f"effect off by {amount}": effect_off(amount) for amount in (*ODD_AMOUNTS, Decimal(10))},
    **{
        f"{field} off by {amount}": leg_off(field, amount)
        for field in ("amount_minor", "balance_after_minor")
        for amount in (*ODD_AMOUNTS, Decimal(10))
    },
}


@pytest.mark.parametrize("name", BREAKERS)
@given(observed=services(), which=st.integers(0, 20), unlegged=st.booleans())
@settings(max_examples=3, deadline=None)
def test_what_is_broken_gets_the_same_verdict(
    name: str, observed: Observed, which: int, unlegged: bool
) -> None:
    history = history_of(observed)
    assert_alike(history, BREAKERS[name](observed.truth, which))
    if unlegged and " off by" in name and not name.startswith(("amount", "balance_after")):
        assert_alike(history, replace(BREAKERS[name](observed.truth, which), legs=None))


Rewriter = Callable[[Operation, Operation], Operation]
REWRITERS: dict[str, Rewriter] = {
    "other outcome": lambda o, other: replace(o, outcome="failed" if o.outcome == "ok" else "ok"),
    "unknown": lambda o, other: replace(o, outcome="unknown", status=None),
    "no key": lambda o, other: replace(o, key=None),
    "empty key": lambda o, other: replace(o, key=""),
    "another's key": lambda o, other: replace(o, key=other.key),
    "another's movements": lambda o, other: replace(o, moves=other.moves),
    "turned around": lambda o, other: replace(
        o, moves=tuple(replace(m, payer=m.payee, payee=m.payer) for m in reversed(o.moves))
    ),
    "more": lambda o, other: replace(
        o, moves=(*o.moves, Move(payer=None, payee="4", amount_minor=10))
    ),
    "twice the same": lambda o, other: replace(o, moves=o.moves * 2),
    "negative": lambda o, other: replace(
        o, moves=tuple(replace(m, amount_minor=-m.amount_minor) for m in o.moves)
    ),
}


@pytest.mark.parametrize("name", REWRITERS)
@given(observed=services(), which=st.integers(0, 30), other=st.integers(0, 30))
@settings(max_examples=5, deadline=None)
def test_what_clients_say_differently_gets_the_same_verdict(
    name: str, observed: Observed, which: int, other: int
) -> None:
    operations = list(history_of(observed).operations)
    one, two = operations[which % len(operations)], operations[other % len(operations)]
    operations[which % len(operations)] = REWRITERS[name](one, two)
    assert_alike(History(operations=tuple(operations)), observed.truth)


@given(observed=services(), chosen=st.sets(st.integers(0, 25), min_size=1))
@settings(max_examples=12, deadline=None)
def test_any_number_of_lost_answers_gets_the_same_verdict(
    observed: Observed, chosen: set[int]
) -> None:
    operations = tuple(
        replace(o, outcome="unknown", status=None) if number in chosen else o
        for number, o in enumerate(history_of(observed).operations)
    )
    assert_alike(History(operations=operations), observed.truth)
