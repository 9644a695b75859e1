"""Where did the money go? What a load said it did, against what is in the database. Pure.

The claims are those of the scenarios, over one long round. An audit never says more than it saw:
without the whole history only what the database contradicts by itself is called violated.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from attacks.history import PREPARATION, History, Operation
from reports.evidence import Verdict
from reports.load import Losses
from scenarios.invariants import (
    Finding,
    Invariant,
    Observed,
    acknowledged_is_recorded,
    balances_are_explained,
    legs_prove_the_balances,
    money_is_conserved,
    never_overdrawn,
)
from scenarios.invariants.observed import in_round, works
from scenarios.losses import losses
from scenarios.truth import GroundTruth

EXIT_CODES = {Verdict.HELD: 0, Verdict.VIOLATED: 1, Verdict.UNKNOWN: 3}
WIDEST = 220
"""Characters of an explanation: on the console one wallet is an example, fifty are noise."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One line of an audit."""

    name: str
    invariant: Invariant
    by_history: bool
    """Compares with the answers; else the database contradicts itself."""


CLAIMS = (
    Claim(name="money is conserved", invariant=money_is_conserved, by_history=True),
    Claim(name="nothing is overdrawn", invariant=never_overdrawn, by_history=False),
    Claim(
        name="every acknowledged payment is recorded once",
        invariant=acknowledged_is_recorded,
        by_history=True,
    ),
    Claim(
        name="ledger legs prove the balances", invariant=legs_prove_the_balances, by_history=False
    ),
    Claim(
        name="the answers explain the balances", invariant=balances_are_explained, by_history=True
    ),
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """A claim with its verdict."""

    claim: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The worst of its checks; a doubt about the whole is at best unknown."""

    checks: tuple[Check, ...] = ()
    doubts: tuple[str, ...] = ()
    """Why the load as a whole proves nothing."""
    payments: int = 0
    """Works that moved money and were acknowledged, the preparation left out."""
    losses: Losses = field(default_factory=Losses)
    """How much is wrong, in figures."""

    @property
    def verdict(self) -> Verdict:
        verdicts = {check.verdict for check in self.checks}
        if Verdict.VIOLATED in verdicts:
            return Verdict.VIOLATED
        if self.doubts or Verdict.UNKNOWN in verdicts or Verdict.HELD not in verdicts:
            return Verdict.UNKNOWN
        return Verdict.HELD

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]


def audit(
    history: History,
    truth: GroundTruth | None,
    *,
    doubts: Sequence[str] = (),
    whole: bool = True,
    engine_says: Check | None = None,
) -> Audit:
    """Judge a load and its preparation, recorded outside any round.

    `whole` is False when operations may be missing from the history; `doubts` says why. `truth` is
    None when it could not be read.
    """
    payments = _payments(o for o in history.operations if o.round is None)
    reasons = [*doubts]
    if not payments:
        reasons.append("no payment was acknowledged")
    if truth is None:
        return Audit(doubts=tuple(reasons), payments=payments)
    observed = in_round(history, truth, None)
    checks = [_checked(claim, observed, whole=whole) for claim in CLAIMS]
    if engine_says is not None:
        checks.append(engine_says)
    return Audit(
        checks=tuple(checks),
        doubts=tuple(reasons),
        payments=payments,
        losses=losses(history, truth, whole=whole),
    )


def _payments(operations: Iterable[Operation]) -> int:
    return sum(
        work.outcome == "ok" and any(o.actor != PREPARATION for o in work.operations)
        for work in works(operations)
    )


def _checked(claim: Claim, observed: Observed, *, whole: bool) -> Check:
    if claim.by_history and not whole:
        return Check(
            claim=claim.name, verdict=Verdict.UNKNOWN, detail="operations may be missing here"
        )
    lacking = _lacking(claim, observed.truth)
    if lacking is not None:
        return Check(
            claim=claim.name,
            verdict=Verdict.NOT_APPLICABLE,
            detail=f"this build keeps no {lacking}",
        )
    try:
        findings = claim.invariant(observed)
    except Exception as error:  # noqa: BLE001 - a judge that crashes has said nothing
        detail = f"the judge crashed: {error!r}"
        return Check(claim=claim.name, verdict=Verdict.UNKNOWN, detail=detail)
    verdict = Verdict.VIOLATED if findings else Verdict.HELD
    return Check(claim=claim.name, verdict=verdict, detail=_explained(findings))


def _lacking(claim: Claim, truth: GroundTruth) -> str | None:
    """What the claim compares with and this build does not keep."""
    if claim.invariant is legs_prove_the_balances and truth.legs is None:
        return "legs"
    if claim.invariant is acknowledged_is_recorded and not truth.records_kept:
        return "records"
    return None


def _explained(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    first = textwrap.shorten(findings[0].summary, WIDEST, placeholder=" …")
    return first if len(findings) == 1 else f"{first} ({len(findings) - 1} more like it)"
