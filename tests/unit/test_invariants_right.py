"""No invariant accuses a service that is right, whatever was lost, repeated or under way."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from scenarios.invariants import (
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
)
from tests.unit.histories.imagined import OPENING_MINOR, WALLETS, services

ALWAYS: dict[str, Invariant] = {
    "acknowledged_is_recorded": acknowledged_is_recorded,
    "answered_within": answered_within(6.0),
    "balances_are_explained": balances_are_explained,
    "legs_prove_the_balances": legs_prove_the_balances,
    "money_is_conserved": money_is_conserved,
    "never_overdrawn": never_overdrawn,
    "never_paid_out_more_than_held": never_paid_out_more_than_held,
    "no_server_error": no_server_error,
    "no_stale_read": no_stale_read,
    "replays_answer_alike": replays_answer_alike,
}


@given(observed=services())
@settings(max_examples=150)
def test_a_service_that_is_right_is_never_accused(observed: Observed) -> None:
    found = {name: judge(observed) for name, judge in ALWAYS.items()}
    assert found == dict.fromkeys(ALWAYS, ())


@given(observed=services(answered=True))
@settings(max_examples=80)
def test_bad_requests_that_were_refused_are_no_finding(observed: Observed) -> None:
    assert refused("bad-transfer")(observed) == ()


@given(observed=services(closed=True))
@settings(max_examples=80)
def test_bulk_reads_of_money_that_only_moves_are_no_finding(observed: Observed) -> None:
    assert bulk_reads_see(OPENING_MINOR * len(WALLETS))(observed) == ()


@pytest.mark.parametrize("name", ALWAYS)
@given(observed=services())
@settings(max_examples=20)
def test_the_same_in_gives_the_same_out(name: str, observed: Observed) -> None:
    judge = ALWAYS[name]
    broken = replace(observed, truth=replace(observed.truth, effects=(), legs=None))
    assert judge(observed) == judge(observed)
    assert judge(broken) == judge(broken)
