"""Judges of versions, row counts, locks left behind and limits: seen right and seen wrong."""

from dataclasses import replace
from decimal import Decimal

import pytest

from attacks.history import Move, Operation, Outcome
from scenarios.invariants import (
    Observed,
    last_acknowledged_is_there,
    losers_get_409,
    never_more_than,
    nothing_left_behind,
    one_write_a_version,
)
from scenarios.truth import Balance, GroundTruth

WALLET = "7"


def deposit(number: int, amount_minor: int, status: int = 201, *, actor: str = "A") -> Operation:
    outcome: Outcome = "ok" if status < 400 else "failed" if status < 500 else "unknown"
    return Operation(
        id=number,
        actor=actor,
        name="deposit",
        text=f"deposit {amount_minor}",
        round=1,
        moves=(Move(payer=None, payee=WALLET, amount_minor=amount_minor),),
        key=f"k{number}",
        started_s=0,
        ended_s=number,
        outcome=outcome,
        status=status,
        answer=str(status),
    )


def seen(balance_minor: int, version: int | None, *operations: Operation) -> Observed:
    balance = Balance(
        wallet=WALLET, asset="USD", amount_minor=Decimal(balance_minor), version=version
    )
    return Observed(
        round=1,
        operations=operations,
        events=(),
        truth=GroundTruth(balances={WALLET: balance}),
    )


OPENING = deposit(1, 10, actor="setup")
TWO = (OPENING, deposit(2, 5), deposit(3, 7, actor="B"))


@pytest.mark.parametrize(
    ("version", "operations", "right"),
    [
        (3, TWO, True),
        (2, TWO, False),
        (4, TWO, False),
        (None, TWO, True),
        (2, (OPENING, deposit(2, 5), deposit(3, 7, 409)), True),
        (2, (OPENING, deposit(2, 5), deposit(3, 7, 504)), True),
        (3, (OPENING, deposit(2, 5), deposit(3, 7, 504)), True),
        (1, (OPENING, deposit(2, 5), deposit(3, 7, 504)), False),
    ],
)
def test_one_write_a_version(
    version: int | None, operations: tuple[Operation, ...], right: bool
) -> None:
    assert (one_write_a_version(seen(0, version, *operations)) == ()) is right


@pytest.mark.parametrize(
    ("statuses", "right"),
    [
        ((201, 201), True),
        ((201, 409), True),
        ((409, 409), False),
        ((201, 500), False),
        ((201, 400), False),
        ((201, 402), False),
    ],
)
def test_losers_get_409(statuses: tuple[int, int], right: bool) -> None:
    attack = [deposit(number, 5, status) for number, status in enumerate(statuses, start=2)]
    assert (losers_get_409(seen(0, None, OPENING, *attack)) == ()) is right


@pytest.mark.parametrize(
    ("balance_minor", "right"),
    [(22, True), (17, True), (7, True), (15, False), (10, False), (12, True), (23, False)],
)
def test_what_was_acknowledged_last_is_there(balance_minor: int, right: bool) -> None:
    assert (last_acknowledged_is_there(seen(balance_minor, None, *TWO)) == ()) is right


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    operations = (OPENING, deposit(2, 5), deposit(3, 7, 500))
    for balance_minor in (15, 22):
        assert last_acknowledged_is_there(seen(balance_minor, None, *operations)) == ()
    assert last_acknowledged_is_there(seen(17, None, *operations)) != ()


def test_a_lock_that_is_left_is_found() -> None:
    clean = seen(10, 1, OPENING)
    assert nothing_left_behind(clean) == ()
    left = replace(clean, truth=replace(clean.truth, locks_left=1))
    (finding,) = nothing_left_behind(left)
    assert "1 advisory lock:" in finding.summary


def test_a_limit_is_the_last_balance_that_is_right() -> None:
    assert never_more_than(10)(seen(10, 1, OPENING)) == ()
    (finding,) = never_more_than(9)(seen(10, 1, OPENING))
    assert finding.observed == "wallet 7: 0.10"
