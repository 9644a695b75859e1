"""The matrix: the named suites first, the canary last, nothing claimed that did not run."""

from reports.evidence import Verdict
from reports.matrix import Group, cell_anchor, matrix, worst
from tests.unit.evidence_samples import CLAIMS, clean_sample, interrupted_sample, sample


def test_named_suites_come_first_and_the_canary_last() -> None:
    groups = matrix(sample())
    assert [group.suite.title for group in groups] == [
        "double spend",
        "read skew",
        "partial commit",
        "replay",
        "deadlock",
        "Redis outage",
        "money",
        "canary",
    ]
    assert [group.kind for group in groups] == ["named"] * 6 + ["group", "canary"]


def test_every_claim_has_one_line_and_a_place_for_each_build() -> None:
    lines = [line for group in matrix(sample()) for line in group.lines]
    assert sorted(line.title for line in lines) == sorted(row[0] for row in CLAIMS)
    assert all([e.build for e in line.entries] == ["fragile", "hardened"] for line in lines)


def test_a_suite_leads_to_the_cell_that_decided_it() -> None:
    money = _group("money", matrix(sample()))
    assert money.suite.entries[0].anchor == cell_anchor("bad-amounts", "fragile")
    assert money.suite.entries[0].as_predicted


def test_suites_are_judged_by_their_claims_while_the_run_has_not_judged_them() -> None:
    groups = matrix(interrupted_sample())
    assert [e.shown for e in _group("double spend", groups).suite.entries] == ["FAIL", "PASS"]


def test_half_a_suite_is_no_pass() -> None:
    fragile, hardened = _group("partial commit", matrix(interrupted_sample())).suite.entries
    assert (fragile.shown, hardened.shown) == ("FAIL", "not run")


def test_a_group_without_any_cell_was_not_run() -> None:
    empty = clean_sample().model_copy(update={"cells": (), "suites": ()})
    shown = {e.shown for group in matrix(empty) for e in group.suite.entries}
    assert shown == {"not run"}


def test_the_worst_verdict_wins() -> None:
    held, unknown, absent = Verdict.HELD, Verdict.UNKNOWN, Verdict.NOT_APPLICABLE
    assert worst([held, unknown, Verdict.VIOLATED]) is Verdict.VIOLATED
    assert worst([held, unknown]) is unknown
    assert worst([absent, held]) is held
    assert worst([]) is None


def _group(title: str, groups: tuple[Group, ...]) -> Group:
    return next(group for group in groups if group.suite.title == title)
