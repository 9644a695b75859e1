"""Limits over all wallets of one owner."""

from collections import defaultdict
from collections.abc import Mapping

from scenarios.invariants.observed import (
    Finding,
    Invariant,
    Observed,
    Work,
    shown,
    shown_wallets,
    total_of,
    works,
)


def joint_overdraft_kept(limit_minor: int) -> Invariant:
    """The wallets of one owner are together not further below zero than the limit."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        findings = []
        for wallets in _wallets_by_owner(observed).values():
            held = {w: observed.truth.balances[w].amount_minor for w in wallets}
            total = total_of(held.values())
            if total.is_finite() and total >= -limit_minor:
                continue
            payments = [work for work in _acknowledged(observed) if _leaves(work, wallets)]
            findings.append(
                Finding(
                    invariant="the joint overdraft limit is kept",
                    summary=f"One owner's wallets hold {shown(total)} together "
                    f"({shown_wallets(held)}) and may hold {shown(-limit_minor)} at the least: "
                    f"each of {len(payments)} payments out of them was acknowledged.",
                    expected=f"{shown(-limit_minor)} or more in all wallets of one owner",
                    observed=shown(total),
                    round=observed.round,
                    operations=tuple(work.operations[0].id for work in payments),
                )
            )
        return tuple(findings)

    return judge


def paid_out_at_most(limit_minor: int) -> Invariant:
    """What was acknowledged to go out of one owner's wallets, to others, is within the limit."""

    def judge(observed: Observed) -> tuple[Finding, ...]:
        findings = []
        for wallets in _wallets_by_owner(observed).values():
            payments = [work for work in _acknowledged(observed) if _leaves(work, wallets)]
            paid = {work.operations[0].actor: _leaves(work, wallets) for work in payments}
            total = sum(_leaves(work, wallets) for work in payments)
            if total <= limit_minor:
                continue
            each = ", ".join(f"{actor} {shown(minor)}" for actor, minor in paid.items())
            findings.append(
                Finding(
                    invariant="the daily limit is kept",
                    summary=f"One owner may pay {shown(limit_minor)} a day and paid {shown(total)} "
                    f"from {len(wallets)} wallets: {each}, all acknowledged.",
                    expected=f"at most {shown(limit_minor)} paid out",
                    observed=f"{shown(total)} paid out",
                    round=observed.round,
                    operations=tuple(work.operations[0].id for work in payments),
                )
            )
        return tuple(findings)

    return judge


def _wallets_by_owner(observed: Observed) -> Mapping[str, frozenset[str]]:
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for wallet, balance in observed.truth.balances.items():
        owners[balance.owner or f"of wallet {wallet}"].add(wallet)
    return {owner: frozenset(wallets) for owner, wallets in owners.items()}


def _acknowledged(observed: Observed) -> list[Work]:
    return [work for work in works(observed.operations) if work.outcome == "ok"]


def _leaves(work: Work, wallets: frozenset[str]) -> int:
    """Minor units that go from these wallets to others."""
    return sum(
        move.amount_minor
        for move in work.moves
        if move.payer in wallets and move.payee not in wallets
    )
