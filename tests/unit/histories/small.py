"""Operations and ground truth in one line each, for histories that a test writes by hand."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from attacks.history import Event, History, Move, Operation, Outcome
from scenarios.invariants import Observed
from scenarios.truth import Balance, Effect, GroundTruth

CONTROL = ("c1", "c2")
"""The wallets of the control payments."""


def move(payer: str | None, payee: str | None, amount_minor: int) -> Move:
    return Move(payer=payer, payee=payee, amount_minor=amount_minor)


def operation(  # what an operation is made of, with defaults
    number: int,
    *moves: Move,
    name: str = "transfer",
    outcome: Outcome = "ok",
    at: tuple[float, float] | None = None,
    round: int | None = 1,  # noqa: A002 - the field's word for it
    actor: str = "A",
    key: str | None = None,
    status: int | None = None,
    values: Mapping[str, Any] | None = None,
) -> Operation:
    """Starts at its number of seconds and takes half of one, unless `at` says otherwise."""
    started_s, ended_s = at or (float(number), number + 0.5)
    usual: dict[Outcome, int | None] = {"ok": 201, "failed": 409, "unknown": None}
    answered = status if status is not None else usual[outcome]
    return Operation(
        id=number,
        actor=actor,
        name=name,
        text=f"{name} {number}",
        round=round,
        moves=moves,
        key=key,
        started_s=started_s,
        ended_s=ended_s,
        outcome=outcome,
        status=answered,
        answer=str(answered or "no answer in time"),
        values=values or {},
    )


def truth(balances: Mapping[str, int | Decimal], effects: tuple[Effect, ...] = ()) -> GroundTruth:
    return GroundTruth(
        balances={
            wallet: Balance(wallet=wallet, asset="USD", amount_minor=Decimal(amount))
            for wallet, amount in balances.items()
        },
        effects=effects,
    )


def effect(name: str, payer: str | None, payee: str | None, amount_minor: int) -> Effect:
    return Effect(id=name, payer=payer, payee=payee, amount_minor=Decimal(amount_minor))


def observed(
    operations: tuple[Operation, ...],
    balances: Mapping[str, int | Decimal],
    effects: tuple[Effect, ...] = (),
) -> Observed:
    return Observed(round=1, operations=operations, events=(), truth=truth(balances, effects))


def controlled(
    *operations: Operation, events: tuple[Event, ...] = (), outcome: Outcome = "ok"
) -> History:
    """With the control payments around; `outcome` is that of the second."""
    before = (
        operation(9001, move(None, "c1", 500), name="deposit", round=None, at=(-3, -2.9)),
        operation(9002, move("c1", "c2", 100), round=None, actor="control", at=(-2, -1.9)),
    )
    after = operation(
        9003, move("c1", "c2", 100), round=None, actor="control", at=(999, 999.1), outcome=outcome
    )
    return History(operations=(*before, *operations, after), events=events)


def with_control(balances: Mapping[str, int]) -> GroundTruth:
    """The truth that goes with `controlled`."""
    return truth({"c1": 300, "c2": 200, **balances})
