"""Balances: nothing lost, nothing made, nothing paid that was not there."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import product

from attacks.history import SETUP
from scenarios.invariants.observed import (
    Finding,
    Invariant,
    Observed,
    Work,
    deltas,
    shown,
    shown_wallets,
    total_of,
    works,
)

MOST_UNKNOWN = 10
"""Up to so many works of unknown outcome are tried in every combination; past it, by bounds."""


def money_is_conserved(observed: Observed) -> tuple[Finding, ...]:
    """Σ of the balances = acknowledged money in less acknowledged money out.

    Work of unknown outcome may have happened or not: the sum has to lie between.
    """
    total = total_of(b.amount_minor for b in observed.truth.balances.values())
    least = most = 0
    for work in works(observed.operations):
        net = sum(deltas(work.moves).values())
        if work.outcome == "ok":
            least, most = least + net, most + net
        elif work.outcome == "unknown":
            least, most = least + min(net, 0), most + max(net, 0)
    if total.is_finite() and least <= total <= most:
        return ()
    return (
        Finding(
            invariant="money is conserved",
            summary=f"{_difference(total, least, most)}: the wallets hold {shown(total)} together, "
            f"and what was paid in less what was paid out is {_between(least, most)}.",
            expected=f"total {_between(least, most)}",
            observed=f"total {shown(total)}",
            round=observed.round,
            operations=tuple(o.id for o in observed.operations if o.moves and o.actor != SETUP),
        ),
    )


def everything_sums_to_zero(observed: Observed) -> tuple[Finding, ...]:
    """What the wallets hold, somebody owes: all balances of an asset are zero together."""
    return tuple(
        Finding(
            invariant="everything sums to zero",
            summary=f"All wallets of {asset} hold {shown(total)} together, the service's own "
            "included: the books do not say where it came from.",
            expected=f"{asset}: 0.00",
            observed=f"{asset}: {shown(total)}",
            round=observed.round,
            operations=tuple(o.id for o in observed.operations if o.moves and o.outcome == "ok"),
        )
        for asset, total in observed.truth.totals.items()
        if total != 0
    )


def never_overdrawn(observed: Observed) -> tuple[Finding, ...]:
    """No balance is negative, and each is a number."""
    findings = []
    for balance in observed.truth.balances.values():
        amount = balance.amount_minor
        if balance.may_be_negative or (amount.is_finite() and amount >= 0):
            continue
        findings.append(
            Finding(
                invariant="never overdrawn",
                summary=f"Wallet {balance.wallet} holds {shown(amount)}, which no wallet can hold.",
                expected=f"wallet {balance.wallet}: 0.00 or more",
                observed=f"wallet {balance.wallet}: {shown(amount)}",
                round=observed.round,
            )
        )
    return tuple(findings)


def never_more_than(limit_minor: int) -> Invariant:
    """No balance passes the limit."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        too_much = [
            b
            for b in observed.truth.balances.values()
            if not (b.amount_minor.is_finite() and b.amount_minor <= limit_minor)
        ]
        return tuple(
            Finding(
                invariant="never more than the limit",
                summary=f"Wallet {b.wallet} holds {shown(b.amount_minor)}, more than the "
                f"{shown(limit_minor)} up to which every reader of the answers keeps each cent.",
                expected=f"wallet {b.wallet}: at most {shown(limit_minor)}",
                observed=f"wallet {b.wallet}: {shown(b.amount_minor)}",
                round=observed.round,
            )
            for b in too_much
        )

    return judge


def never_paid_out_more_than_held(observed: Observed) -> tuple[Finding, ...]:
    """Acknowledged payments out of a wallet ≤ everything that may have come in."""
    findings = []
    for wallet in observed.wallets:
        paid_in = _may_have_come_in(observed, wallet)
        payments = [
            work
            for work in works(observed.operations)
            if work.outcome == "ok" and deltas(work.moves).get(wallet, 0) < 0
        ]
        paid_out = -sum(deltas(work.moves)[wallet] for work in payments)
        if paid_out <= paid_in:
            continue
        who = ", ".join(
            f"{w.operations[0].actor} was paid {shown(-deltas(w.moves)[wallet])}" for w in payments
        )
        findings.append(
            Finding(
                invariant="never paid out more than held",
                summary=f"Wallet {wallet} held {shown(paid_in)}; {who}: "
                f"{shown(paid_out)} went out, {shown(paid_out - paid_in)} more than was there.",
                expected=f"at most {shown(paid_in)} paid out of wallet {wallet}",
                observed=f"{shown(paid_out)} paid out, all acknowledged",
                round=observed.round,
                operations=tuple(work.operations[0].id for work in payments),
            )
        )
    return tuple(findings)


def balances_are_explained(observed: Observed) -> tuple[Finding, ...]:
    """Some choice of the works of unknown outcome, each whole or not at all, explains all balances.

    Acknowledged work happened, failed work did not, unknown work did or did not, as a whole. This
    one sentence covers lost updates, halves of transfers, failed answers that had an effect, and
    acknowledged ones that had none.
    """
    done = works(observed.operations)
    acknowledged = [work for work in done if work.outcome == "ok"]
    unknown = [work for work in done if work.outcome == "unknown"]
    # A wallet that was to be paid and is not in the database holds nothing.
    named = (wallet for work in (*acknowledged, *unknown) for wallet in deltas(work.moves))
    truth = dict.fromkeys(named, Decimal(0))
    truth |= {w: b.amount_minor for w, b in observed.truth.balances.items()}
    certain = _applied(acknowledged, truth)
    if len(unknown) > MOST_UNKNOWN:
        explained = _within_bounds(truth, certain, unknown)
    else:
        explained = any(state == truth for state in _states(certain, unknown))
    if explained:
        return ()
    return (_unexplained(observed, truth, certain, unknown),)


def _states(
    certain: Mapping[str, Decimal], unknown: Sequence[Work]
) -> Iterator[Mapping[str, Decimal]]:
    for choice in product((False, True), repeat=len(unknown)):
        chosen = [work for work, happened in zip(unknown, choice, strict=True) if happened]
        yield _applied(chosen, certain, onto=certain)


def _applied(
    done: Sequence[Work],
    wallets: Mapping[str, Decimal],
    *,
    onto: Mapping[str, Decimal] | None = None,
) -> dict[str, Decimal]:
    state = dict(onto) if onto is not None else dict.fromkeys(wallets, Decimal(0))
    for work in done:
        for wallet, change in deltas(work.moves).items():
            state[wallet] += change
    return state


def _within_bounds(
    truth: Mapping[str, Decimal], certain: Mapping[str, Decimal], unknown: Sequence[Work]
) -> bool:
    for wallet, amount in truth.items():
        changes = [deltas(work.moves).get(wallet, 0) for work in unknown]
        least = certain[wallet] + sum(change for change in changes if change < 0)
        most = certain[wallet] + sum(change for change in changes if change > 0)
        if not (amount.is_finite() and least <= amount <= most):
            return False
    return True


def _unexplained(
    observed: Observed,
    truth: Mapping[str, Decimal],
    certain: Mapping[str, Decimal],
    unknown: Sequence[Work],
) -> Finding:
    wrong = {w: a for w, a in truth.items() if not (a.is_finite() and a == certain[w])}
    names = ", ".join(f"wallet {w} holds {shown(a)}" for w, a in wrong.items())
    if unknown:
        doubt = "; no choice among the requests without an answer, each whole or not at all, "
        doubt += "leads there either"
    else:
        doubt = ""
    return Finding(
        invariant="balances are explained by the answers",
        summary=f"By the answers it should be {shown_wallets({w: certain[w] for w in wrong})}, "
        f"but {names}{doubt}.",
        expected=shown_wallets(certain),
        observed=shown_wallets(truth),
        round=observed.round,
        operations=tuple(o.id for o in observed.operations if o.moves and o.actor != SETUP),
    )


def _may_have_come_in(observed: Observed, wallet: str) -> int:
    changes = (
        deltas(work.moves).get(wallet, 0)
        for work in works(observed.operations)
        if work.outcome != "failed"
    )
    return sum(change for change in changes if change > 0)


def _difference(total: Decimal, least: int, most: int) -> str:
    if not total.is_finite():
        return "The sum is no amount"
    if total < least:
        return f"{shown(least - total)} is missing"
    return f"{shown(total - most)} came from nowhere"


def _between(least: int, most: int) -> str:
    return shown(least) if least == most else f"between {shown(least)} and {shown(most)}"
