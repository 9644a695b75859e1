"""The claims about access, each both ways: broken without its defence and held with it."""

from pathlib import Path

import pytest

from engine.defences import parse_build
from reports.evidence import Verdict
from scenarios.catalogue import select
from scenarios.cell import Observation, run_cell
from scenarios.evidence import predicted
from scenarios.stand import Stand

pytestmark = pytest.mark.slow

CLAIMS = (
    "impersonation",
    "forged-token",
    "object-access",
    "function-access",
    "pin",
    "pin-race",
    "token-replay",
    "leaks",
    "mass-assignment",
)
BROKEN_BY = [
    ("impersonation", "authorization=trust_body"),
    ("impersonation", "authentication=none"),
    ("forged-token", "authentication=weak"),
    ("forged-token", "authentication=none"),
    ("object-access", "authorization=trust_body"),
    ("function-access", "authorization=trust_body"),
    ("pin", "pin=off"),
    ("pin", "pin=unlimited"),
    ("pin", "authentication=none"),
    ("pin-race", "pin=unlimited"),
    ("pin-race", "pin=counted_after"),
    ("token-replay", "authentication=weak"),
    ("leaks", "errors=generic"),
    ("mass-assignment", "validation=lax"),
]
HELD_BY = [
    ("impersonation", "authentication=weak"),
    ("pin", "pin=counted_after"),
    ("pin-race", "session_scope=dependency"),
]


def run(stand: Stand, claim: str, build: str, folder: Path) -> Observation:
    (scenario,) = select((claim,))
    parsed = parse_build(build)
    seen = run_cell(
        stand, scenario, parsed, seed=1, effort=0.3, history_file=folder / "history.jsonl"
    )
    assert seen.judgement.verdict is predicted(scenario, parsed), seen.judgement.cause
    text = (folder / "history.jsonl").read_text()
    assert "Bearer" not in text
    return seen


@pytest.mark.parametrize("claim", CLAIMS)
def test_hardened_holds_and_the_control_succeeds(stand: Stand, tmp_path: Path, claim: str) -> None:
    seen = run(stand, claim, "hardened", tmp_path)
    assert seen.judgement.verdict is Verdict.HELD, seen.judgement.cause
    control = [o.outcome for o in seen.history.operations if o.actor == "control"]
    assert control == ["ok", "ok"]
    for race in seen.races:
        assert race.explored.exhausted, race.explored.reasons
    for series in seen.series:
        assert len(series.cases) == series.points > 4


@pytest.mark.parametrize("claim", CLAIMS)
def test_fragile_breaks_it(stand: Stand, tmp_path: Path, claim: str) -> None:
    seen = run(stand, claim, "fragile", tmp_path)
    assert seen.judgement.verdict is Verdict.VIOLATED, seen.judgement.cause


@pytest.mark.parametrize(("claim", "change"), BROKEN_BY)
def test_one_defence_less_breaks_it(stand: Stand, tmp_path: Path, claim: str, change: str) -> None:
    seen = run(stand, claim, f"hardened,{change}", tmp_path)
    assert seen.judgement.verdict is Verdict.VIOLATED, seen.judgement.cause


@pytest.mark.parametrize(("claim", "change"), HELD_BY)
def test_what_does_not_matter_to_it(stand: Stand, tmp_path: Path, claim: str, change: str) -> None:
    seen = run(stand, claim, f"hardened,{change}", tmp_path)
    assert seen.judgement.verdict is Verdict.HELD, seen.judgement.cause


def test_counting_after_comparing_is_lost_only_in_a_race(stand: Stand, tmp_path: Path) -> None:
    """One after the other it locks as it should; two at once are both compared."""
    seen = run(stand, "pin-race", "hardened,pin=counted_after", tmp_path)
    (race,) = seen.races
    assert not race.explored.no_race_needed
    assert race.explored.serial is not None
    assert race.explored.serial.violations == 0
    assert race.lost is not None
    assert [o.answer for o in race.lost.operations] == ["403 pin-wrong"] * 2
