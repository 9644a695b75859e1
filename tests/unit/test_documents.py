"""Documents that are generated, and words that have to explain themselves."""

from pathlib import Path

import pytest

from engine.defences import named_builds, switches
from scenarios import hardening_journey
from scenarios.catalogue import SCENARIOS, UnknownScenario
from scenarios.defence_stories import STORIES
from scenarios.expected_failures import FILE, document
from scenarios.explaining import explain
from scenarios.model import NAMED_SUITES

ROOT = Path(__file__).parents[2]


def test_the_expected_failures_are_those_of_the_claims() -> None:
    remedy = "run `python -m scenarios.expected_failures`"
    assert FILE.read_text() == document(), f"{FILE.name} is out of date: {remedy}"


@pytest.mark.parametrize(
    "name",
    [*(s.name for s in SCENARIOS), *NAMED_SUITES, *switches(), *named_builds()],
)
def test_everything_with_a_name_can_be_explained(name: str) -> None:
    page = explain(name)
    assert name.lower().replace(" ", "-").split("-")[0] in page.lower()
    assert "  " in page, "a page has labelled lines"


def test_a_changed_build_is_explained_by_what_it_breaks() -> None:
    broken = "double-spend, deadlock, lost-update, in-flight-funds, frozen-race, ledger"
    assert f"Predicted violated: {broken}" in explain("hardened,locking=none")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownScenario, match=r"double-spend.*locking"):
        explain("nothing")


def test_the_readme_names_the_commands_that_there_are() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("compare", "test", "dev", "load-test"):
        assert f"make {target}" in readme
        assert f"\n{target}:" in makefile


def test_the_hardening_journey_is_that_of_the_switches() -> None:
    remedy = "run `python -m scenarios.hardening_journey`"
    journey = hardening_journey.FILE
    assert journey.read_text() == hardening_journey.document(), f"out of date: {remedy}"
    readme = hardening_journey.README
    assert readme.read_text() == hardening_journey.readme(), f"out of date: {remedy}"


@pytest.mark.parametrize("name", [n for n, s in switches().items() if s.fragile_count])
def test_every_defence_has_a_story_of_sentences(name: str) -> None:
    assert name in STORIES, f"{name}: add what it prevents to scenarios/defence_stories.py"
    story = STORIES[name]
    for sentence in (story.prevents, story.technique, story.in_sql):
        assert sentence.endswith("."), f"{name}: {sentence!r} is no sentence"
    page = explain(name)
    for text in (story.prevents, story.in_sql, f"assay ablate --only {name}"):
        assert text in page


def test_a_defence_is_explained_by_what_catches_its_removal() -> None:
    assert "Proved by   locking=none is caught by double-spend, " in explain("locking")
    covered = explain("lock_order")
    assert "Proved by   lock_order=request is covered: " in covered
    assert "retry covers for it, and with retry=none it is caught by deadlock" in covered
    assert "Proved by" not in explain("execution"), "it only changes speed"


def test_a_build_is_explained_with_what_does_not_apply_to_it() -> None:
    assert "redis-outage (this build never asks Redis)" in explain("g-wallet")
    assert explain("dino").startswith("dino: a build, the Dino wallet service")


def test_a_build_is_explained_with_what_it_does_in_its_own_way() -> None:
    assert "  In its own way: wallets are locked FOR UPDATE\n" in explain("g-wallet")
    assert "50 connections" in explain("dino,locking=none")
    assert "In its own way" not in explain("hardened")
