"""The catalogue lists every claim, and every claim predicts every build."""

import importlib
import re
from itertools import product
from pathlib import Path

import pytest

from engine.defences import as_dict, named_builds, switches, values_of
from reports.evidence import Verdict
from scenarios.catalogue import SCENARIOS, UnknownScenario, select
from scenarios.evidence import predicted
from scenarios.model import NAMED_SUITES, Scenario

BUILDS = named_builds()
ROOT = Path(__file__).parents[2]


def _on_disk() -> dict[str, Scenario]:
    """By file, wherever below scenarios/ it is."""
    found = {}
    for path in sorted((ROOT / "scenarios").rglob("*.py")):
        if re.search(r"^SCENARIO\b", path.read_text(), flags=re.MULTILINE):
            place = path.relative_to(ROOT)
            module = importlib.import_module(".".join(place.with_suffix("").parts))
            found[str(place)] = module.SCENARIO
    return found


def test_every_claim_on_disk_is_listed() -> None:
    on_disk = _on_disk()
    missing = [place for place, claim in on_disk.items() if claim not in SCENARIOS]
    assert not missing, f"{missing[0]}: add its SCENARIO to SCENARIOS in scenarios/catalogue.py"
    assert len(on_disk) == len(SCENARIOS)


def test_names_are_unique_and_can_be_typed() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() and " " not in name for name in names)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_story_tells_attack_reason_and_name(scenario: Scenario) -> None:
    for heading in ("Claim", "Attack", "Why", "Known as"):
        told = scenario.told(heading)
        assert told, f"{scenario.name}: its module docstring has no paragraph {heading!r}"
        assert "\n" not in told
        assert told.endswith("."), f"{scenario.name}: {heading} is no sentence"
    assert scenario.claim.endswith(".")
    assert scenario.invariants
    assert scenario.told("Moral") == ""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_claim_needs_only_switches_and_values_that_exist(scenario: Scenario) -> None:
    need = scenario.holds_when
    assert set(need.switches) <= set(switches())
    named = {value for name in need.switches for value in values_of(name)}
    words = need.text.replace("(", " ").replace(")", " ").replace(",", " ").split()
    known = {*need.switches, *named, "is", "not", "or", "and", "always", "never"}
    unknown = set(words) - known
    assert not unknown, f"{scenario.name} names {unknown}, which no switch has"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_hardened_is_predicted_to_hold_everything_but_the_canary(scenario: Scenario) -> None:
    expected = Verdict.VIOLATED if scenario.canary else Verdict.HELD
    assert predicted(scenario, BUILDS["hardened"]) is expected


@pytest.mark.parametrize("suite", NAMED_SUITES)
def test_fragile_is_predicted_to_break_each_named_suite(suite: str) -> None:
    claims = [scenario for scenario in SCENARIOS if scenario.suite == suite]
    assert claims, f"no claim is in the suite {suite}"
    assert any(predicted(s, BUILDS["fragile"]) is Verdict.VIOLATED for s in claims)


def test_a_claim_that_needs_a_switch_is_broken_by_some_value_of_it() -> None:
    """A switch that changes nothing of the prediction is no need."""
    for scenario in SCENARIOS:
        need = scenario.holds_when
        for name in need.switches:
            others = [other for other in need.switches if other != name]
            settings = (
                dict(zip(others, values, strict=True))
                for values in product(*(values_of(other) for other in others))
            )
            assert any(
                len({need.holds({**setting, name: value}) for value in values_of(name)}) == 2
                for setting in settings
            ), f"{scenario.name} does not depend on {name}"


def test_there_is_one_canary_and_nothing_makes_it_hold() -> None:
    (canary,) = [scenario for scenario in SCENARIOS if scenario.canary]
    assert not any(canary.holds_when.holds(as_dict(b.defences)) for b in BUILDS.values())
    assert canary.holds_when.text == "never"


def test_claims_are_chosen_by_name_or_suite() -> None:
    assert select(()) == SCENARIOS
    assert [s.name for s in select(("double-spend",))] == ["double-spend"]
    replays = select(("Replay",))
    assert {s.suite for s in replays} == {"replay"}
    assert select(("redis outage", "canary"))[-1].canary
    assert select(("double-spend",)) == select(("Double Spend",))
    assert [s.name for s in select(("partial-commit",))] == ["partial-commit"]
    assert len(select(("partial commit",))) == 2
    with pytest.raises(UnknownScenario, match=r"called tripple-spend; there are: .*double-spend"):
        select(("tripple-spend",))
