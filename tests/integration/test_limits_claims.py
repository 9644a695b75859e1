"""Limits over several wallets, names that are taken once, rows that stay: broken and kept."""

from pathlib import Path

import pytest

from engine.defences import parse_build
from reports.evidence import Verdict
from scenarios.cell import run_cell
from scenarios.concurrency.phantom import SCENARIO as PHANTOM
from scenarios.concurrency.unique_by_check import SCENARIO as UNIQUE_BY_CHECK
from scenarios.concurrency.write_skew import SCENARIO as WRITE_SKEW
from scenarios.evidence import predicted
from scenarios.model import Scenario
from scenarios.money.immutable import SCENARIO as IMMUTABLE
from scenarios.stand import Stand

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("build", ["fragile", "hardened", "hardened,constraints=off"])
def test_a_name_is_taken_twice_where_the_database_lets_it(
    stand: Stand, tmp_path: Path, build: str
) -> None:
    parsed = parse_build(build)
    seen = run_cell(
        stand, UNIQUE_BY_CHECK, parsed, seed=1, effort=0.3, history_file=tmp_path / "h.jsonl"
    )
    assert seen.judgement.verdict is predicted(UNIQUE_BY_CHECK, parsed), seen.judgement.cause
    if seen.judgement.verdict is Verdict.HELD:
        assert [race.explored.exhausted for race in seen.races] == [True, True]
    else:
        # A serial order refuses the second: it is the race that breaks it.
        assert all(0 < race.explored.violated < race.explored.explored for race in seen.races)
        assert {finding.round for finding in seen.judgement.findings} == {1, 2}


@pytest.mark.parametrize(
    ("build", "tables"),
    [
        ("fragile", 1),
        ("hardened", 2),
        ("hardened,constraints=off", 2),
        ("hardened,ledger=single_entry", 1),
        ("hardened,ledger=hash_chain", 3),
    ],
)
def test_the_ledger_is_rewritten_where_the_database_lets_it(
    stand: Stand, tmp_path: Path, build: str, tables: int
) -> None:
    parsed = parse_build(build)
    seen = run_cell(stand, IMMUTABLE, parsed, seed=1, effort=1, history_file=tmp_path / "h.jsonl")
    assert seen.judgement.verdict is predicted(IMMUTABLE, parsed), seen.judgement.cause
    tampered = [o for o in seen.history.operations if o.name == "tamper"]
    assert len(tampered) == 3 * tables
    if seen.judgement.verdict is Verdict.HELD:
        assert all("append-only" in o.answer for o in tampered)
