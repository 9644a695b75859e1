"""Limits over several wallets: broken where only the payer is locked, kept in every order else."""

from pathlib import Path

import pytest

from engine.defences import parse_build
from reports.evidence import Verdict
from scenarios.cell import run_cell
from scenarios.concurrency.phantom import SCENARIO as PHANTOM
from scenarios.concurrency.write_skew import SCENARIO as WRITE_SKEW
from scenarios.evidence import predicted
from scenarios.model import Scenario
from scenarios.stand import Stand

BUILDS = (
    "fragile",
    "hardened",
    "hardened,limit_lock=payer",
    "hardened,unit_of_work=per_step",
)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("scenario", [WRITE_SKEW, PHANTOM], ids=lambda scenario: scenario.name)
def test_a_limit_breaks_where_it_is_predicted_to(
    stand: Stand, tmp_path: Path, scenario: Scenario, build: str
) -> None:
    parsed = parse_build(build)
    seen = run_cell(
        stand, scenario, parsed, seed=1, effort=0.3, history_file=tmp_path / "history.jsonl"
    )
    assert seen.judgement.verdict is predicted(scenario, parsed), seen.judgement.cause
    (race,) = seen.races
    if seen.judgement.verdict is Verdict.HELD:
        assert race.explored.exhausted, race.explored.reasons
    else:
        assert seen.judgement.findings[0].invariant.endswith("limit is kept")
