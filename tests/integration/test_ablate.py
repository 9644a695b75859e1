"""Defences are removed for real, and claims catch it; what nothing catches is named."""

import json
from pathlib import Path

import pytest

from engine.defences import parse_build
from reports.ablation import Outcome, ablation_table
from reports.evidence import Evidence
from reports.store import read_evidence
from scenarios.ablation import removals
from scenarios.catalogue import SCENARIOS, select
from scenarios.cell_record import record_cell
from scenarios.lanes import Ground
from scenarios.model import Scenario
from scenarios.runner import Plan, begin, finish
from scenarios.stand import Stand

pytestmark = pytest.mark.slow


def _ablated(
    stand: Stand, out: Path, claims: tuple[Scenario, ...], *only: str
) -> tuple[Path, Evidence]:
    removed = removals(claims, only)
    plan = Plan(
        command="assay ablate",
        scenarios=claims,
        builds=tuple(removal.build for removal in removed),
        by_prediction=True,
        stores="embedded",
        seed=7,
        out=out,
        removals=removed,
    )
    current = begin(plan, Ground.of(stand))
    for scenario, build in plan.cells:
        current.add(record_cell(current.terms, stand, scenario, build))
    return current.folder, finish(current, "complete")


def test_two_removals_are_caught_and_two_cover_each_other(stand: Stand, tmp_path: Path) -> None:
    claims = select(("self-transfer", "read-skew"))
    folder, evidence = _ablated(stand, tmp_path, claims, "reads", "constraints")
    table = ablation_table(read_evidence(folder))
    assert table is not None
    assert {row.title: row.outcome for row in table.rows} == {
        "reads=per_wallet": Outcome.CAUGHT,
        "constraints=off": Outcome.COVERED,
        "validation=lax, constraints=off": Outcome.CAUGHT,
    }
    assert evidence.exit_code == 0, table.sentence
    assert len(evidence.cells) == evidence.planned == 3
    cell = next(cell for cell in evidence.cells if cell.scenario == "read-skew")
    assert "--build hardened,reads=per_wallet --only read-skew" in cell.reproduce
    text = (folder / "summary.md").read_text()
    assert "| `reads=per_wallet` | caught by read-skew | ✕ |" in text
    assert "What each defence is for" in (folder / "report.html").read_text()


def test_a_removal_that_no_claim_names_fails_the_run(stand: Stand, tmp_path: Path) -> None:
    folder, evidence = _ablated(stand, tmp_path, select(("self-transfer",)), "reads")
    assert (evidence.exit_code, evidence.cells) == (1, ())
    assert json.loads((folder / "evidence.json").read_text())["ablation"][0]["breaks"] == []
    assert "Not caught: reads=per_wallet." in (folder / "summary.md").read_text().replace("\\", "")


def test_every_build_of_an_ablation_can_be_typed() -> None:
    for removal in removals(SCENARIOS):
        assert parse_build(removal.build.name).defences == removal.build.defences
