"""The claims about batches, both ways."""

from pathlib import Path

import pytest

from engine.defences import parse_build
from reports.evidence import Verdict
from scenarios.batch.batch_replay import SCENARIO as BATCH_REPLAY
from scenarios.batch.batch_twice import SCENARIO as BATCH_TWICE
from scenarios.cell import Observation, run_cell
from scenarios.model import Scenario
from scenarios.stand import Stand


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
