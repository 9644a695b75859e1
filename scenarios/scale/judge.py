"""The audit of an archive: the claims of `scenarios.audit`, and two that need its size.

The same verdicts as the small judge on the same run. Where works without an answer are so many that
the small judge goes by bounds, this one may see more (see `scenarios.scale.balances`).
"""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from reports.evidence import Verdict
from reports.load import Losses
from scenarios.audit import WIDEST, Audit, Check
from scenarios.scale import balances, keys, ledger, records, works
from scenarios.scale.archive import CONTENTS, Archive, read_manifest
from scenarios.scale.findings import Found
from scenarios.scale.losses import losses
from scenarios.scale.store import ArchiveError, Store, one_line, open_store, quoted


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One line of an audit."""

    name: str
    judge: Callable[[Store], Found]
    by_history: bool
    """Compares with the answers; else the database contradicts itself."""
    needs_records: bool = False
    needs_legs: bool = False


CLAIMS = (
    Claim(name="money is conserved", judge=balances.conserved, by_history=True),
    Claim(name="nothing is overdrawn", judge=balances.nothing_overdrawn, by_history=False),
    Claim(
        name="every acknowledged payment is recorded once",
        judge=records.acknowledged_and_recorded,
        by_history=True,
        needs_records=True,
    ),
    Claim(
        name="ledger legs prove the balances",
        judge=ledger.legs_and_balances,
        by_history=False,
        needs_legs=True,
    ),
    Claim(name="the answers explain the balances", judge=balances.answers_explain, by_history=True),
    Claim(
        name="the records explain the balances",
        judge=balances.records_explain,
        by_history=False,
        needs_records=True,
    ),
    Claim(
        name="a key has one effect and one answer",
        judge=keys.one_effect_and_answer,
        by_history=True,
    ),
)


def audit_archive(
    folder: Path,
    *,
    doubts: Sequence[str] = (),
    whole: bool = True,
    engine_says: Check | None = None,
) -> Audit:
    """Judge what `archive` made of a folder. Raises ArchiveError when there is nothing to judge.

    A claim by the history is unknown when operations may be missing there. `whole` is False when
    the caller knows of some that are; `doubts` says why.
    """
    made = read_manifest(folder)
    made = replace(made, whole=made.whole and whole)
    with open_store(folder) as store:
        _open_tables(store, folder)
        works.prepare(store)
        payments = works.payments(store)
        reasons = [*doubts, *(made.reasons if whole else ())]
        if not payments:
            reasons.append("no payment was acknowledged")
        if not made.truth:
            return Audit(doubts=(*reasons, "there is no ground truth"), payments=payments)
        balances.prepare(store)
        checks = [_checked(claim, store, made) for claim in CLAIMS]
        lost = _losses(store, made)
    if engine_says is not None:
        checks.append(engine_says)
    return Audit(checks=tuple(checks), doubts=tuple(reasons), payments=payments, losses=lost)


def _losses(store: Store, made: Archive) -> Losses:
    """None is known where the sums are too large for DuckDB; the claim about them says so."""
    try:
        return losses(store, whole=made.whole, records_kept=made.records_kept)
    except (duckdb.Error, ArithmeticError):
        return Losses()


def _open_tables(store: Store, folder: Path) -> None:
    for name in ("wallets", *CONTENTS):
        file = folder / f"{name}.parquet"
        if not file.exists():
            raise ArchiveError(f"{folder.name} is not archived: {file.name} is missing")
        store.run(f"CREATE VIEW {name} AS SELECT * FROM {quoted(file)}")


def _checked(claim: Claim, store: Store, made: Archive) -> Check:
    if claim.by_history and not made.whole:
        return Check(
            claim=claim.name, verdict=Verdict.UNKNOWN, detail="operations may be missing here"
        )
    if claim.needs_legs and not made.legs_kept:
        return Check(
            claim=claim.name, verdict=Verdict.NOT_APPLICABLE, detail="this build keeps no legs"
        )
    if claim.needs_records and not made.records_kept:
        return Check(
            claim=claim.name, verdict=Verdict.NOT_APPLICABLE, detail="this build keeps no records"
        )
    try:
        found = claim.judge(store)
    except (duckdb.Error, ArithmeticError) as error:
        detail = f"the judge crashed: {one_line(error)}"
        return Check(claim=claim.name, verdict=Verdict.UNKNOWN, detail=detail)
    verdict = Verdict.VIOLATED if found else Verdict.HELD
    return Check(claim=claim.name, verdict=verdict, detail=explained(found))


def explained(found: Found) -> str:
    first = textwrap.shorten(found.first, WIDEST, placeholder=" …")
    return first if found.count <= 1 else f"{first} ({found.count - 1} more like it)"
