"""Locks, keys, commits and money, fragile in one value only: which claims break, and which hold."""

from pathlib import Path

import pytest

from engine.defences import as_dict, parse_build
from reports.evidence import Verdict
from scenarios.catalogue import SCENARIOS
from scenarios.cell import run_cell
from scenarios.stand import Stand

pytestmark = pytest.mark.slow

CLAIMS = {scenario.name: scenario for scenario in SCENARIOS}
HELD, VIOLATED = Verdict.HELD, Verdict.VIOLATED


@pytest.mark.parametrize(
    ("claim", "changes", "verdict"),
    [
        ("double-spend", "locking=stale", VIOLATED),
        ("double-spend", "locking=stale,execution=orm", VIOLATED),
        ("double-spend", "locking=version_unchecked", VIOLATED),
        ("lost-update", "locking=stale", VIOLATED),
        ("lost-update", "locking=version_unchecked,execution=orm", VIOLATED),
        ("deadlock", "locking=stale", VIOLATED),
        ("conflict", "locking=version", HELD),
        ("conflict", "locking=version,retry=none", HELD),
        ("conflict", "locking=none", VIOLATED),
        ("conflict", "locking=serializable,retry=none", VIOLATED),
        ("version-ignored", "locking=version", HELD),
        ("version-ignored", "locking=none", HELD),
        ("version-ignored", "locking=version_unchecked", VIOLATED),
        ("version-ignored", "locking=version_unchecked,execution=orm", VIOLATED),
        ("locks-left-behind", "locking=advisory", HELD),
        ("locks-left-behind", "locking=advisory_session", VIOLATED),
        ("locks-left-behind", "locking=advisory_session,execution=orm", VIOLATED),
        ("stale-retry", "locking=advisory_session", HELD),
        ("sequential-replay", "idempotency=memory", HELD),
        ("sequential-replay", "idempotency=check_then_insert", HELD),
        ("concurrent-replay", "idempotency=memory", VIOLATED),
        ("concurrent-replay", "idempotency=check_then_insert", VIOLATED),
        ("concurrent-replay", "idempotency=check_then_insert,execution=orm", VIOLATED),
        ("concurrent-replay", "idempotency=check_then_insert,locking=serializable", HELD),
        ("lost-ack", "idempotency=memory", VIOLATED),
        ("lost-ack", "idempotency=check_then_insert", HELD),
        ("double-spend", "idempotency=memory", HELD),
        ("failed-but-committed", "idempotency=memory", VIOLATED),
        ("failed-but-committed", "idempotency=check_then_insert", HELD),
        ("blind-retry", "idempotency=memory,retry=blind", VIOLATED),
        ("blind-retry", "idempotency=check_then_insert,retry=blind", HELD),
        ("durability", "durability=sync", HELD),
        ("durability", "durability=async", VIOLATED),
        ("rounding", "money=minor_units", HELD),
        ("rounding", "money=numeric", VIOLATED),
        ("rounding", "money=float", VIOLATED),
        ("overflow", "validation=strict", HELD),
        ("overflow", "validation=lax", VIOLATED),
        ("bad-amounts", "money=numeric", VIOLATED),
    ],
)
def test_claims_break_as_predicted(
    stand: Stand, tmp_path: Path, claim: str, changes: str, verdict: Verdict
) -> None:
    build = parse_build(f"hardened,{changes}")
    predicted = CLAIMS[claim].holds_when.holds(as_dict(build.defences))
    assert predicted is (verdict is HELD), "the claim predicts something else"
    seen = run_cell(
        stand,
        CLAIMS[claim],
        build,
        seed=1,
        effort=0.3,
        history_file=tmp_path / "history.jsonl",
    )
    assert seen.judgement.verdict is verdict, seen.judgement.cause
