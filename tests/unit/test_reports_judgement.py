"""What fails a run: predictions in `compare`, verdicts in `verify`, a seeing canary in both."""

import pytest

from reports.evidence import Evidence, Verdict
from reports.judgement import Judgement, exit_code, judge, needs_attention
from tests.unit.evidence_samples import cell_of, clean_sample, sample

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
ABSENT = Verdict.NOT_APPLICABLE
PASSED, FAILED = Judgement.PASSED, Judgement.FAILED
UNDECIDED, SKIPPED = Judgement.UNDECIDED, Judgement.SKIPPED


def _judged(judged_by: str, scenario: str, verdict: Verdict, predicted: Verdict) -> Judgement:
    evidence = clean_sample().model_copy(update={"judged_by": judged_by})
    cell = cell_of(evidence, scenario, "hardened")
    return judge(evidence, cell.model_copy(update={"verdict": verdict, "predicted": predicted}))


@pytest.mark.parametrize(
    ("verdict", "predicted", "by_prediction", "by_verdict"),
    [
        (HELD, HELD, PASSED, PASSED),
        (HELD, VIOLATED, FAILED, PASSED),
        (VIOLATED, VIOLATED, PASSED, FAILED),
        (VIOLATED, HELD, FAILED, FAILED),
        (UNKNOWN, HELD, UNDECIDED, UNDECIDED),
        (UNKNOWN, VIOLATED, UNDECIDED, UNDECIDED),
        (ABSENT, ABSENT, SKIPPED, SKIPPED),
        (ABSENT, HELD, FAILED, SKIPPED),
    ],
)
def test_a_cell_counts_by_its_prediction_or_by_its_verdict(
    verdict: Verdict, predicted: Verdict, by_prediction: Judgement, by_verdict: Judgement
) -> None:
    assert _judged("prediction", "double-spend", verdict, predicted) is by_prediction
    assert _judged("verdict", "double-spend", verdict, predicted) is by_verdict


def test_a_canary_must_be_violated_even_where_verdicts_count() -> None:
    assert _judged("verdict", "canary", VIOLATED, VIOLATED) is PASSED
    assert _judged("verdict", "canary", HELD, VIOLATED) is FAILED


def _only(evidence: Evidence, scenario: str, build: str) -> Evidence:
    return evidence.model_copy(update={"cells": (cell_of(evidence, scenario, build),)})


def test_exit_codes() -> None:
    assert exit_code(clean_sample()) == 0
    assert exit_code(sample()) == 1
    assert exit_code(_only(sample(), "deadlock", "hardened")) == 3
    assert exit_code(_only(sample(), "persistence", "fragile")) == 3
    assert exit_code(sample().model_copy(update={"cells": ()})) == 3


def test_failures_come_before_what_is_open() -> None:
    attention = [(cell.scenario, cell.build) for cell in needs_attention(sample())]
    assert attention == [("rounding", "fragile"), ("deadlock", "hardened")]
    assert needs_attention(clean_sample()) == ()
