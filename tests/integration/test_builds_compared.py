"""Builds that lack what a claim is about, and a build that asks Redis only for replays."""

from pathlib import Path

import pytest

from engine.defences import parse_build
from reports.evidence import Cell, Verdict
from scenarios.catalogue import select
from scenarios.cell_record import record_cell
from scenarios.lanes import Ground
from scenarios.runner import Plan, begin, finish
from scenarios.stand import Stand

pytestmark = pytest.mark.slow


def _cell(stand: Stand, out: Path, claim: str, name: str) -> tuple[Cell, int | None]:
    """The cell and the exit code of a comparison of it alone."""
    build, scenarios = parse_build(name), select((claim,))
    plan = Plan(
        command="assay compare",
        scenarios=scenarios,
        builds=(build,),
        by_prediction=True,
        stores="embedded",
        seed=7,
        effort=0.3,
        out=out,
    )
    current = begin(plan, Ground.of(stand))
    cell = record_cell(current.terms, stand, scenarios[0], build)
    current.add(cell)
    return cell, finish(current, "complete").exit_code


@pytest.mark.parametrize(
    ("claim", "name", "words"),
    [
        ("redis-outage", "g-wallet", "this build never asks Redis"),
        ("redis-commands", "g-wallet", "this build never asks Redis"),
        ("stale-cache", "correctness-first", "this build caches no balances"),
    ],
)
def test_a_claim_about_what_a_build_lacks_does_not_apply(
    stand: Stand, tmp_path: Path, claim: str, name: str, words: str
) -> None:
    cell, code = _cell(stand, tmp_path, claim, name)
    assert (cell.verdict, cell.predicted) == (Verdict.NOT_APPLICABLE,) * 2
    assert cell.reasons == (words,)
    assert code == 3, "where nothing else ran, nothing was shown"


def test_redis_is_taken_away_from_a_build_that_keeps_only_replays_there(
    stand: Stand, tmp_path: Path
) -> None:
    cell, code = _cell(stand, tmp_path, "redis-outage", "correctness-first")
    assert cell.verdict is Verdict.HELD, cell.cause
    assert code == 0


def test_a_build_with_one_entry_a_transfer_is_honestly_violated(
    stand: Stand, tmp_path: Path
) -> None:
    cell, code = _cell(stand, tmp_path, "ledger", "correctness-first")
    assert (cell.verdict, cell.predicted, code) == (Verdict.VIOLATED, Verdict.VIOLATED, 0)
