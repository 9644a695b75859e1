"""How much is wrong after a load, in figures. Pure."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from attacks.history import History
from reports.load import Losses
from scenarios.invariants.observed import Work, deltas, total_of, wallets_of, works
from scenarios.truth import GroundTruth

Movement = tuple[str | None, str | None, Decimal]
"""Payer, payee, amount."""


def losses(history: History, truth: GroundTruth, *, whole: bool) -> Losses:
    """`whole` is False when operations may be missing: then only the overdrawn are counted."""
    known = wallets_of(history.operations)
    own = [balance for name, balance in truth.balances.items() if name in known]
    overdrawn = sum(
        not b.may_be_negative and not (b.amount_minor.is_finite() and b.amount_minor >= 0)
        for b in own
    )
    if not whole:
        return Losses(wallets_overdrawn=overdrawn)
    done = works(history.operations)
    without, unasked = _unmatched(done, truth, known)
    return Losses(
        invented_minor=_invented(done, total_of(b.amount_minor for b in own)),
        payments_without_record=without,
        records_without_payment=unasked,
        wallets_overdrawn=overdrawn,
    )


def _invented(done: Iterable[Work], total_minor: Decimal) -> float | None:
    """What is there beyond (below: negative) anything that the answers allow."""
    if not total_minor.is_finite():
        return None
    least = most = 0
    for work in done:
        change = sum(deltas(work.moves).values())
        if work.outcome == "ok":
            least, most = least + change, most + change
        elif work.outcome == "unknown":
            least, most = least + min(change, 0), most + max(change, 0)
    over, under = total_minor - most, total_minor - least
    return float(over if over > 0 else min(under, Decimal(0)))


def _unmatched(
    done: Iterable[Work], truth: GroundTruth, known: frozenset[str]
) -> tuple[int | None, int | None]:
    """What was acknowledged and is not recorded; what is recorded and nobody asked for."""
    if not truth.records_kept:
        return None, None
    acknowledged: Counter[Movement] = Counter()
    uncertain: Counter[Movement] = Counter()
    for work in done:
        counted = {"ok": acknowledged, "unknown": uncertain}.get(work.outcome)
        if counted is not None:
            counted.update((m.payer, m.payee, Decimal(m.amount_minor)) for m in work.moves)
    recorded: Counter[Movement] = Counter(
        (e.payer, e.payee, e.amount_minor) for e in truth.effects if {e.payer, e.payee} & known
    )
    without = acknowledged - recorded
    return without.total(), (recorded - acknowledged - uncertain).total()
