"""Claims about limits and caches, both ways: what breaks them, and what holds."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.defences import as_dict, parse_build
from reports.evidence import Verdict
from scenarios.catalogue import select
from scenarios.cell import Observation, run_cell
from scenarios.stand import Stand

pytestmark = pytest.mark.slow


def _run(stand: Stand, claim: str, build: str, folder: Path) -> Observation:
    (scenario,) = select((claim,))
    return run_cell(
        stand,
        scenario,
        parse_build(build),
        seed=1,
        effort=1,
        history_file=folder / "history.jsonl",
    )


@pytest.mark.parametrize(
    ("claim", "build", "broken"),
    [
        ("rate-limit", "hardened", None),
        ("rate-limit", "hardened,rate_limit=off", "at most 4 in 2 s"),
        ("rate-limit", "hardened,rate_limit=fixed_racy", "at most 4 in 2 s"),
        ("rate-limit-outage", "hardened", None),
        ("rate-limit-outage", "hardened,rate_limit=off", "at most 4 in 4 s"),
        ("rate-limit-outage", "hardened,rate_limit=fixed_racy", "at most 4 in 4 s"),
        ("rate-limit-outage", "hardened,redis_policy=unbounded", "answered within 2 s"),
        ("cache-loss", "hardened", None),
        ("cache-loss", "hardened,idempotency=redis_only", "acknowledged = recorded, once a key"),
        ("cache-loss", "hardened,balance_cache=after_commit", "no stale read"),
        ("dirty-cache", "hardened", None),
        ("dirty-cache", "hardened,unit_of_work=swallow_then_commit", "no dirty read"),
        (
            "dirty-cache",
            "hardened,unit_of_work=swallow_then_commit,balance_cache=after_commit",
            None,
        ),
        ("read-your-write", "hardened", None),
        ("read-your-write", "hardened,balance_cache=after_commit", None),
        ("read-your-write", "hardened,balance_cache=off", None),
        ("read-your-write", "hardened,balance_cache=never_invalidated", "no stale read"),
        ("read-your-write", "hardened,balance_cache=before_commit", "no stale read"),
    ],
)
def test_a_claim_breaks_and_holds_as_predicted(
    stand: Stand, tmp_path: Path, claim: str, build: str, broken: str | None
) -> None:
    seen = _run(stand, claim, build, tmp_path)
    (scenario,) = select((claim,))
    assert scenario.holds_when.holds(as_dict(parse_build(build).defences)) == (broken is None)
    if broken is None:
        assert seen.judgement.verdict is Verdict.HELD, seen.judgement.cause
    else:
        assert seen.judgement.verdict is Verdict.VIOLATED, seen.judgement.cause
        assert seen.judgement.findings[0].invariant == broken


def test_a_lost_end_of_a_window_locks_out(stand: Stand, tmp_path: Path) -> None:
    """Also what is not the first finding is found: INCR came, EXPIRE did not."""
    seen = _run(stand, "rate-limit-outage", "hardened,rate_limit=fixed_racy", tmp_path)
    assert "refused only above the limit" in {f.invariant for f in seen.judgement.findings}


def test_both_processes_answer(stand: Stand, tmp_path: Path) -> None:
    seen = _run(stand, "rate-limit", "hardened", tmp_path)
    actors = {o.actor for o in seen.history.operations if o.name == "log-in" and o.outcome == "ok"}
    assert actors >= {"A", "C"}


def test_a_redis_of_somebody_else_is_not_emptied(stand: Stand, tmp_path: Path) -> None:
    theirs: Any = SimpleNamespace(restartable=False)
    seen = _run(replace(stand, redis=theirs), "cache-loss", "hardened", tmp_path)
    assert seen.judgement.verdict is Verdict.NOT_APPLICABLE
    assert seen.history.operations == ()
