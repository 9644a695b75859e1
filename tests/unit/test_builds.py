"""Which builds a command means, and what is predicted for those that lack a feature."""

import pytest

from engine.defences import DefenceError, named_builds
from reports.evidence import Verdict
from reports.markdown import render_markdown
from scenarios.catalogue import SCENARIOS, select
from scenarios.evidence import predicted
from scenarios.model import Scenario
from scenarios.runner import read_builds
from tests.unit.evidence_samples import clean_sample

BUILDS = named_builds()


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["all"], list(BUILDS)),
        (["fragile,dino"], ["fragile", "dino"]),
        (["fragile", "dino", "fragile"], ["fragile", "dino"]),
        (["hardened,locking=none, retry=none"], ["hardened,locking=none,retry=none"]),
        (["fragile,hardened,locking=none,dino"], ["fragile", "hardened,locking=none", "dino"]),
        (["dino", "all"], ["dino", *(name for name in BUILDS if name != "dino")]),
    ],
)
def test_builds_are_given_with_commas_or_again_or_all(texts: list[str], names: list[str]) -> None:
    assert [build.name for build in read_builds(texts)] == names


@pytest.mark.parametrize("text", ["fragile,nothing", "", "locking=none", "fragile,,dino"])
def test_what_is_no_build_is_refused(text: str) -> None:
    with pytest.raises(DefenceError, match="unknown build"):
        read_builds([text])


def test_a_claim_about_redis_does_not_apply_to_a_build_without_it() -> None:
    for claim in select(("Redis outage",)):
        assert predicted(claim, BUILDS["g-wallet"]) is Verdict.NOT_APPLICABLE
        assert predicted(claim, BUILDS["fragile"]) is Verdict.VIOLATED
        assert claim.applies_not
    (cached,) = select(("stale-cache",))
    assert predicted(cached, BUILDS["correctness-first"]) is Verdict.NOT_APPLICABLE
    assert predicted(select(("redis-outage",))[0], BUILDS["correctness-first"]) is Verdict.HELD


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_claim_that_does_not_apply_everywhere_says_why(scenario: Scenario) -> None:
    assert any(predicted(scenario, b) is not Verdict.NOT_APPLICABLE for b in BUILDS.values())
    assert bool(scenario.applies_not) == (scenario.applies_when.text != "always")


def test_a_wide_table_marks_only_what_was_not_predicted() -> None:
    narrow = clean_sample()
    names = [f"hardened,retry={value}" for value in ("none", "blind", "stale_values")]
    more = [narrow.builds[1].model_copy(update={"name": name}) for name in names]
    odd = narrow.cells[1].model_copy(update={"predicted": Verdict.VIOLATED})
    cells = (narrow.cells[0], odd, *narrow.cells[2:])
    wide = narrow.model_copy(update={"builds": (*narrow.builds, *more), "cells": cells})
    assert "as predicted</sub>" in render_markdown(narrow)
    table = render_markdown(wide).split("## The matrix")[1].split("##")[0]
    assert table.count("**NOT as predicted**") == 1
    assert "<sub>as predicted</sub>" not in table
    assert "What is not marked came out as predicted." in table
