"""The job summary: tables that hold, text that means itself, blocks that argue."""

import re

from reports.evidence import Evidence
from reports.markdown import render_markdown
from tests.unit.evidence_samples import cell_of, clean_sample, interrupted_sample, sample


def _table(text: str, heading: str) -> list[str]:
    after = text.split(heading, 1)[1].split("\n\n")[1]
    return after.splitlines()


def _columns(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_the_matrix_has_every_suite_and_claim() -> None:
    lines = _table(render_markdown(sample()), "## The matrix")
    assert len(lines) == 2 + 7 + 17
    assert all(_columns(line) == 3 for line in lines)
    assert "| **double spend** | ❌ FAIL <sub>as predicted</sub> | ✅ PASS" in "\n".join(lines)
    assert lines[-1].startswith("| canary (must fail) | ❌ FAIL")
    assert any("rounding" in line and "**NOT as predicted**" in line for line in lines)


def test_surprises_come_before_what_was_expected() -> None:
    text = render_markdown(sample())
    surprises = text.split("## What needs your eyes")[1].split("## Violations")[0]
    assert surprises.count("<details>") == 2
    assert "Ten parts of 0.10" in surprises
    assert "VIOLATED  double-spend" in text.split("## Violations that were predicted")[1]
    assert "What needs your eyes" not in render_markdown(clean_sample())


def test_pipes_and_markup_of_a_name_stay_text() -> None:
    evidence = _with_first_claim_named(clean_sample(), "a|b *c* <script>\n`d`")
    text = render_markdown(evidence)
    lines = _table(text, "## The matrix")
    assert all(_columns(line) == 3 for line in lines)
    assert "a\\|b \\*c\\* \\<script\\> \\`d\\`" in text
    summaries = [line for line in text.splitlines() if line.startswith("<details>")]
    assert summaries
    assert not any("<script>" in line for line in summaries)


def test_no_fence_is_closed_by_its_content() -> None:
    cell = cell_of(sample(), "rounding", "fragile")
    hostile = cell.model_copy(update={"cause": "``` ends here ````"})
    text = render_markdown(sample().model_copy(update={"cells": (hostile,)}))
    assert "`````text" in text


def test_an_interrupted_run_says_so_at_once() -> None:
    text = render_markdown(interrupted_sample())
    assert text.startswith("# Assay: Interrupted after 11 of 34 cells")
    assert "> [!WARNING]" in text
    assert "· not run" in text


def test_the_summary_stays_far_below_the_limit_of_github() -> None:
    evidence = clean_sample()
    many = evidence.model_copy(update={"cells": evidence.cells * 20})
    text = render_markdown(many)
    assert len(text.encode()) < 500_000
    assert "more violations in `report.html`" in text


def _with_first_claim_named(evidence: Evidence, name: str) -> Evidence:
    claim, *claims = evidence.claims
    renamed = claim.model_copy(update={"name": name})
    cells = tuple(
        cell.model_copy(update={"scenario": name}) if cell.scenario == claim.name else cell
        for cell in evidence.cells
    )
    return evidence.model_copy(update={"claims": (renamed, *claims), "cells": cells})
