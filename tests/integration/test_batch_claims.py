"""The claims about batches, both ways."""

from pathlib import Path

import pytest

from engine.defences import parse_build
from reports.evidence import Verdict
from scenarios.batch.batch_crash import SCENARIO as BATCH_CRASH
from scenarios.batch.batch_replay import SCENARIO as BATCH_REPLAY
from scenarios.batch.batch_twice import SCENARIO as BATCH_TWICE
from scenarios.batch.compensate_twice import SCENARIO as COMPENSATE_TWICE
from scenarios.cell import Observation, run_cell
from scenarios.model import Scenario
from scenarios.stand import Stand

pytestmark = pytest.mark.slow


def _run(stand: Stand, scenario: Scenario, build: str, folder: Path) -> Observation:
    return run_cell(
        stand,
        scenario,
        parse_build(build),
        seed=1,
        effort=1,
        history_file=folder / "history.jsonl",
    )


@pytest.mark.parametrize(
    ("build", "verdict"),
    [
        ("hardened", Verdict.HELD),
        ("hardened,batch=naive", Verdict.VIOLATED),
        ("fragile,batch=resumable", Verdict.HELD),
        ("fragile", Verdict.VIOLATED),
    ],
)
@pytest.mark.parametrize("scenario", [BATCH_TWICE, BATCH_REPLAY], ids=lambda s: s.name)
def test_batches_are_paid_once(
    stand: Stand, tmp_path: Path, scenario: Scenario, build: str, verdict: Verdict
) -> None:
    seen = _run(stand, scenario, build, tmp_path)
    assert seen.judgement.verdict is verdict, seen.judgement.cause
    for race in seen.races:
        # It takes both at once: one execution after the other is right in every build.
        assert not race.explored.no_race_needed


@pytest.mark.parametrize(
    ("build", "verdict"),
    [
        ("hardened", Verdict.HELD),
        ("hardened,compensation=naive", Verdict.VIOLATED),
    ],
)
def test_rows_are_taken_back_once(
    stand: Stand, tmp_path: Path, build: str, verdict: Verdict
) -> None:
    seen = _run(stand, COMPENSATE_TWICE, build, tmp_path)
    assert seen.judgement.verdict is verdict, seen.judgement.cause


@pytest.mark.parametrize(
    ("build", "verdict"),
    [
        ("hardened", Verdict.HELD),
        ("hardened,batch=naive", Verdict.VIOLATED),
        ("hardened,unit_of_work=per_step", Verdict.VIOLATED),
    ],
)
def test_a_batch_survives_a_kill_at_every_statement(
    stand: Stand, tmp_path: Path, build: str, verdict: Verdict
) -> None:
    seen = _run(stand, BATCH_CRASH, build, tmp_path)
    assert seen.judgement.verdict is verdict, seen.judgement.cause
    (series,) = seen.series
    assert series.vacuous is None
    if verdict is Verdict.HELD:
        assert {case.point for case in series.cases} == set(range(1, series.points + 1))
        killed = [case for case in series.cases if case.fault.startswith("service killed")]
        assert all(case.restarted for case in killed)
