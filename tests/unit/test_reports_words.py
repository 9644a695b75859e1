"""The sentences that every report shares."""

import pytest

from reports.evidence import Cell, Evidence, Strength, Verdict
from reports.words import (
    duration,
    exit_code_in_words,
    headline,
    strength_in_brief,
    strength_in_words,
)
from tests.unit.evidence_samples import cell_of, clean_sample, interrupted_sample, sample


def test_the_result_in_one_sentence() -> None:
    assert headline(clean_sample()).sentence == (
        "Every prediction came true. 2 builds, 34 cells: "
        "fragile breaks in 6 of 6 named suites, hardened in none."
    )


def test_what_went_wrong_comes_first() -> None:
    assert headline(sample()).title == "1 of 34 cells is not as predicted, 1 unknown"
    assert headline(sample()).tone == "bad"
    assert "hardened in none (1 unknown)" in headline(sample()).detail


def test_an_interrupted_run_never_sounds_finished() -> None:
    result = headline(interrupted_sample())
    assert (result.title, result.tone) == ("Interrupted after 11 of 34 cells", "open")


def test_a_run_judged_by_verdicts_speaks_of_claims() -> None:
    hardened = _only_build(clean_sample(), "hardened")
    assert headline(hardened).title == "Every claim held"
    fragile = _only_build(clean_sample(), "fragile")
    assert headline(fragile).title == "15 of 17 cells are violated"


def test_a_run_of_nothing_says_so() -> None:
    empty = clean_sample().model_copy(update={"cells": (), "suites": ()})
    assert headline(empty).title == "Nothing was run"


def test_many_builds_are_counted_instead_of_named() -> None:
    evidence = clean_sample()
    builds = tuple(
        evidence.builds[0].model_copy(update={"name": f"hardened,locking={n}"}) for n in range(5)
    )
    many = evidence.model_copy(update={"builds": builds})
    assert "1 of the builds breaks in a named suite" in headline(many).detail


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "0: every prediction came true"),
        (1, "1: a prediction did not come true"),
        (3, "3: something stayed unknown"),
        (7, "7: no exit code of Assay"),
        (None, "none: the run did not end by itself"),
    ],
)
def test_exit_codes_are_explained(code: int | None, words: str) -> None:
    evidence = clean_sample().model_copy(update={"exit_code": code})
    assert exit_code_in_words(evidence).startswith(words)


def _with_strength(verdict: Verdict, **changes: object) -> Cell:
    cell = cell_of(clean_sample(), "double-spend", "hardened")
    strength = cell.strength.model_copy(update=changes)
    return cell.model_copy(update={"verdict": verdict, "strength": strength})


def test_a_sampled_pass_states_what_it_is_worth() -> None:
    words = strength_in_words(_with_strength(Verdict.HELD, rounds=10))
    assert "Sampled: 10 rounds, violated in none" in words
    assert "is below 30 % (3/10, with 95 % confidence, if rounds are alike" in words
    assert "too few" in strength_in_words(_with_strength(Verdict.HELD, rounds=2))


def test_an_exhausted_pass_needs_no_chance() -> None:
    cell = _with_strength(Verdict.HELD, kind="exhausted", rounds=92)
    assert strength_in_words(cell).startswith("Exhausted: all 92 schedules were run")
    assert "chance" not in strength_in_words(cell)
    assert strength_in_brief(cell) == "exhausted, 92 schedules"


def test_a_violation_counts_its_hits() -> None:
    cell = _with_strength(Verdict.VIOLATED, rounds=1, violated_rounds=1)
    assert strength_in_brief(cell) == "violated in 1 of 1 round"
    beside = cell.strength.model_copy(update={"violated_rounds": 0})
    found_elsewhere = cell.model_copy(update={"strength": beside})
    assert strength_in_brief(found_elsewhere) == "violated beside 1 round that held"


def test_no_round_is_no_strength() -> None:
    strength = Strength(
        kind="sampled", rounds=0, violated_rounds=0, overlapped_rounds=0, requests=0
    )
    cell = cell_of(clean_sample(), "double-spend", "hardened")
    assert strength_in_words(cell.model_copy(update={"strength": strength})) == "Nothing was run."


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (71.4, "71.4 s"), (125.0, "2 min 05 s")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def _only_build(evidence: Evidence, build: str) -> Evidence:
    return evidence.model_copy(
        update={
            "judged_by": "verdict",
            "builds": tuple(b for b in evidence.builds if b.name == build),
            "cells": tuple(c for c in evidence.cells if c.build == build),
            "suites": tuple(s for s in evidence.suites if s.build == build),
        }
    )
