"""What became of each removed defence, and how every report says it."""

import xml.etree.ElementTree as ET

import pytest

from reports.ablation import Outcome, Table, ablation_table, base_defences
from reports.evidence import Cell, Evidence, Removal, Verdict
from reports.html import render_html
from reports.judgement import exit_code
from reports.junit import render_junit
from reports.markdown import render_markdown
from reports.words import headline
from tests.unit.evidence_samples import HARDENED, cell_of, clean_sample

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
LOCKING, ORDER, RETRY = (
    "hardened,locking=none",
    "hardened,lock_order=request",
    "hardened,retry=none",
)
PAIR = "hardened,lock_order=request,retry=none"


def _removal(build: str, *breaks: str, **more: tuple[str, ...]) -> Removal:
    settings = (setting.split("=") for setting in build.split(",")[1:])
    return Removal(build=build, removed=dict(settings), breaks=breaks, **more)


REMOVALS = (
    _removal(LOCKING, "double-spend", "lost-update"),
    _removal(ORDER, keeps=("deadlock",), covered_in=(PAIR,)),
    _removal(RETRY, keeps=("deadlock",), covered_in=(PAIR,)),
    _removal(PAIR, "deadlock"),
)
SEEN = {
    (LOCKING, "double-spend"): VIOLATED,
    (LOCKING, "lost-update"): VIOLATED,
    (ORDER, "deadlock"): HELD,
    (RETRY, "deadlock"): HELD,
    (PAIR, "deadlock"): VIOLATED,
}


def _cell(evidence: Evidence, build: str, claim: str, verdict: Verdict) -> Cell:
    template = cell_of(evidence, claim, "fragile" if verdict is VIOLATED else "hardened")
    breaks = any(r.build == build and claim in r.breaks for r in REMOVALS)
    predicted = VIOLATED if breaks else HELD
    change = {"build": build, "verdict": verdict, "predicted": predicted}
    return template.model_copy(update=change)


def ablated(
    *more: Removal, status: str = "complete", **changes: dict[tuple[str, str], Verdict | None]
) -> Evidence:
    whole = clean_sample()
    seen = SEEN | changes.get("seen", {})
    cells = [_cell(whole, build, claim, v) for (build, claim), v in seen.items() if v]
    all_removals = (*REMOVALS, *more)
    builds = [
        whole.builds[1].model_copy(update={"name": r.build, "defences": HARDENED | r.removed})
        for r in all_removals
    ]
    claims = [c for c in whole.claims if c.name in {"double-spend", "lost-update", "deadlock"}]
    update = {
        "ablation": all_removals,
        "builds": tuple(builds),
        "claims": tuple(claims),
        "cells": tuple(cells),
        "suites": (),
        "status": status,
    }
    evidence = whole.model_copy(update=update)
    return evidence.model_copy(update={"exit_code": exit_code(evidence)})


def table_of(evidence: Evidence) -> Table:
    table = ablation_table(evidence)
    assert table is not None
    return table


def _outcomes(evidence: Evidence) -> list[Outcome]:
    return [row.outcome for row in table_of(evidence).rows]


CAUGHT, COVERED, MISSED = Outcome.CAUGHT, Outcome.COVERED, Outcome.MISSED


def test_a_run_that_removed_nothing_has_no_table() -> None:
    assert ablation_table(clean_sample()) is None


def test_every_removal_is_caught_or_covered() -> None:
    evidence = ablated()
    assert _outcomes(evidence) == [CAUGHT, COVERED, COVERED, CAUGHT]
    assert evidence.exit_code == 0
    assert headline(evidence).title == "Each of 4 removals was caught"
    assert evidence.planned == len(evidence.cells) == 5
    assert table_of(evidence).rows[0].caught_by == ("double-spend", "lost-update")


@pytest.mark.parametrize(
    ("seen", "outcomes", "code"),
    [
        ({(LOCKING, "lost-update"): HELD}, [CAUGHT, COVERED, COVERED, CAUGHT], 1),
        (
            {(LOCKING, "double-spend"): HELD, (LOCKING, "lost-update"): HELD},
            [MISSED, COVERED, COVERED, CAUGHT],
            1,
        ),
        ({(PAIR, "deadlock"): HELD}, [CAUGHT, MISSED, MISSED, MISSED], 1),
        ({(ORDER, "deadlock"): VIOLATED}, [CAUGHT, MISSED, COVERED, CAUGHT], 1),
        ({(PAIR, "deadlock"): UNKNOWN}, [CAUGHT, *[Outcome.UNKNOWN] * 3], 3),
        ({(RETRY, "deadlock"): None}, [CAUGHT, COVERED, Outcome.NOT_RUN, CAUGHT], 3),
    ],
    ids=["one claim slept", "no claim woke", "both gone and held", "no cover", "unknown", "cut"],
)
def test_what_is_not_caught_fails_the_run(
    seen: dict[tuple[str, str], Verdict | None], outcomes: list[Outcome], code: int
) -> None:
    evidence = ablated(seen=seen)
    assert _outcomes(evidence) == outcomes
    assert evidence.exit_code == code
    assert headline(evidence).tone == ("bad" if code == 1 else "open")


def test_a_defence_that_no_claim_names_is_told_in_one_line() -> None:
    evidence = ablated(_removal("hardened,constraints=off"))
    assert _outcomes(evidence)[-1] is Outcome.UNCLAIMED
    assert evidence.exit_code == 1
    words = headline(evidence)
    assert words.title == "1 removal is not caught"
    assert words.detail.endswith("Not caught: constraints=off.")


def test_the_places_show_what_was_seen() -> None:
    evidence = ablated(seen={(LOCKING, "lost-update"): HELD, (RETRY, "deadlock"): None})
    table = table_of(evidence)
    signs = ["".join(place.symbol or " " for place in row.places) for row in table.rows]
    assert table.claims == ("double-spend", "lost-update", "deadlock")
    assert signs == ["✕! ", "  ✓", "  ·", "  ✕"]


def test_the_base_is_what_is_left_when_nothing_is_removed() -> None:
    assert base_defences(ablated()) == HARDENED


def test_every_report_draws_the_table() -> None:
    evidence = ablated(_removal("hardened,constraints=off"))
    page, text = render_html(evidence), render_markdown(evidence)
    assert "What each defence is for" in page
    assert 'href="#cell-double-spend--hardened-locking-none"' in page
    assert "the base of every removal" in page
    assert "NOT CAUGHT" in page
    row = "| `lock_order=request, retry=none` | caught by deadlock |  |  | ✕ |"
    assert row in text
    assert "**1** double-spend" in text
    suites = {suite.get("name"): suite for suite in ET.fromstring(render_junit(evidence))}
    failed = [case.get("name") for case in suites["ablation"] if case.find("failure") is not None]
    assert failed == ["constraints=off"]
