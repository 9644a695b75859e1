"""Documents that are generated, and words that have to explain themselves."""

from pathlib import Path

import pytest

from engine.defences import named_builds, switches
from scenarios.catalogue import SCENARIOS, UnknownScenario
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
