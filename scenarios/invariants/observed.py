"""What an invariant looks at, and what it says."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from attacks.history import Event, History, Move, Operation
from scenarios.truth import GroundTruth


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One round of a history and the ground truth about its wallets.

    Wallets begin empty and everything that happens to them is in the history, deposits for the
    opening balance included.
    """

    round: int | None
    operations: tuple[Operation, ...]
    events: tuple[Event, ...]
    truth: GroundTruth

    @property
    def wallets(self) -> tuple[str, ...]:
        return tuple(self.truth.balances)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A contradiction between what the service said and what is true."""

    invariant: str
    summary: str
    """The cause in one sentence, an argument."""
    expected: str
    observed: str
    round: int | None = None
    operations: tuple[int, ...] = ()
    """Ids of the operations that the argument rests on."""


Invariant = Callable[[Observed], tuple[Finding, ...]]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One piece of work as the client meant it: all operations with one key, or one without.

    Whoever sends other movements under the same key means other work.
    """

    outcome: str
    """ok when any of its operations was acknowledged; else unknown when any is; else failed."""
    moves: tuple[Move, ...]
    key: str | None
    operations: tuple[Operation, ...]


def works(operations: Iterable[Operation]) -> tuple[Work, ...]:
    """Operations that move money, grouped by key and movements."""
    groups: dict[object, list[Operation]] = {}
    for operation in operations:
        if operation.moves:
            same = (operation.key, operation.moves) if operation.key else operation.id
            groups.setdefault(same, []).append(operation)
    return tuple(_work(group) for group in groups.values())


def _work(group: list[Operation]) -> Work:
    outcomes = {operation.outcome for operation in group}
    outcome = next(o for o in ("ok", "unknown", "failed") if o in outcomes)
    first = group[0]
    return Work(outcome=outcome, moves=first.moves, key=first.key, operations=tuple(group))


def by_round(history: History, truth: GroundTruth) -> tuple[Observed, ...]:
    """One `Observed` a round, with the wallets that its operations name; nothing of no round."""
    rounds = sorted({o.round for o in history.operations if o.round is not None})
    return tuple(in_round(history, truth, number) for number in rounds)


def in_round(history: History, truth: GroundTruth, number: int | None) -> Observed:
    operations = tuple(o for o in history.operations if o.round == number)
    wallets = wallets_of(operations)
    balances = {w: b for w, b in truth.balances.items() if w in wallets}
    legs = truth.legs
    return Observed(
        round=number,
        operations=operations,
        events=tuple(e for e in history.events if e.round == number),
        truth=replace(
            truth,
            balances=balances,
            effects=tuple(e for e in truth.effects if {e.payer, e.payee} & wallets),
            legs=None if legs is None else tuple(leg for leg in legs if leg.wallet in wallets),
        ),
    )


def wallets_of(operations: Iterable[Operation]) -> frozenset[str]:
    named: set[str] = set()
    for operation in operations:
        for move in operation.moves:
            named.update(side for side in (move.payer, move.payee) if side is not None)
        named.update(operation.values.get("balances", ()))
        named.update(operation.values.get("wallets", ()))
    return frozenset(named)


def deltas(moves: Iterable[Move]) -> Mapping[str, int]:
    """What moves change in each wallet's balance."""
    changes: dict[str, int] = {}
    for move in moves:
        if move.payer is not None:
            changes[move.payer] = changes.get(move.payer, 0) - move.amount_minor
        if move.payee is not None:
            changes[move.payee] = changes.get(move.payee, 0) + move.amount_minor
    return changes


def total_of(amounts: Iterable[Decimal]) -> Decimal:
    """The sum; NaN as soon as one of them is no finite number (+∞ and -∞ have no sum)."""
    each = tuple(amounts)
    finite = all(amount.is_finite() for amount in each)
    return sum(each, Decimal(0)) if finite else Decimal("NaN")


def shown(amount_minor: Decimal | int) -> str:
    """Minor units as people read them; what has no cents is shown as it is."""
    value = Decimal(amount_minor)
    if not value.is_finite():
        return str(value)
    major = value / 100
    return f"{major:.2f}" if value == value.to_integral_value() else f"{major.normalize():f}"


def shown_wallets(amounts: Mapping[str, Decimal | int]) -> str:
    return ", ".join(f"wallet {wallet}: {shown(amount)}" for wallet, amount in amounts.items())
