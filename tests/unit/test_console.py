"""Tables in the terminal: they fit where there are many builds, and say what matters."""

import io

from rich.console import Console

from reports.evidence import Evidence, Verdict
from scenarios.console import PLAIN_WIDTH, ablation_lines, suite_table
from tests.unit.evidence_samples import clean_sample
from tests.unit.test_reports_ablation import ablated, table_of

NAMES = ("fragile", "g-wallet", "correctness-first", "dino", "hardened")


def _printed(*renderables: object) -> list[str]:
    text = io.StringIO()
    console = Console(file=text, width=PLAIN_WIDTH)
    for renderable in renderables:
        console.print(renderable)
    return text.getvalue().splitlines()


def _five_builds() -> Evidence:
    clean = clean_sample()
    hardened = [suite for suite in clean.suites if suite.build == "hardened"]
    builds = [clean.builds[1].model_copy(update={"name": name}) for name in NAMES]
    suites = [s.model_copy(update={"build": name}) for s in hardened for name in NAMES]
    odd = suites[2].model_copy(update={"predicted": Verdict.VIOLATED})
    changed = {"builds": tuple(builds), "suites": (*suites[:2], odd, *suites[3:])}
    return clean.model_copy(update=changed)


def test_two_builds_have_room_for_every_remark() -> None:
    lines = _printed(suite_table(clean_sample()))
    assert "as predicted" in lines[1]


def test_five_builds_fit_and_only_what_is_odd_is_marked() -> None:
    lines = _printed(suite_table(_five_builds()))
    suites = {suite.suite for suite in _five_builds().suites}
    assert len(lines) == 1 + len(suites) + 1, "no line is broken in two"
    assert all(name in lines[0] for name in NAMES)
    assert sum("FAIL was predicted" in line for line in lines) == 1
    assert lines[-1].strip() == "what is not marked came out as predicted"


def test_removals_stand_below_each_other_with_claims_by_number() -> None:
    lines = _printed(*ablation_lines(table_of(ablated())))
    rows = {line.split("  ")[0]: line for line in lines}
    assert rows["removed"].split() == ["removed", "1", "2", "3"]
    assert rows["locking=none"].split()[1:] == ["✕", "✕", "caught"]
    assert rows["lock_order=request"].split()[1:] == ["✓", "covered"]
    assert any("1 double-spend · 2 lost-update · 3 deadlock" in line for line in lines)
