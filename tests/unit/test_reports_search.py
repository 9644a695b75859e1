"""What the reports say of a search: its weight in words, faults in tables, and how to replay it."""

from pathlib import Path

from reports.evidence import Cell, FaultCase, Strength, Verdict
from reports.faults import lay_out_faults
from reports.markdown import render_markdown
from reports.search_text import fault_blocks
from reports.terminal import render_text
from reports.words import (
    exploration_in_words,
    faults_in_words,
    replay_command,
    strength_in_brief,
    strength_in_words,
    verdict_in_words,
)
from tests.unit.evidence_samples import cell_of, sample
from tests.unit.exploration_samples import (
    bounded,
    exhausted,
    exploration,
    explored_sample,
    fault_cases,
    lost_update,
)

EVIDENCE = explored_sample()


def _cell(scenario: str, build: str) -> Cell:
    return cell_of(EVIDENCE, scenario, build)


def _text(scenario: str, build: str = "fragile", folder: Path | None = None) -> str:
    return render_text(EVIDENCE, _cell(scenario, build), folder=folder)


def test_a_search_in_words() -> None:
    everything = "Every distinguishable order of the statements was tried: "
    assert exploration_in_words(exhausted()) == (
        f"{everything}8 schedules, 12 skipped as equivalent, nothing uncontrolled. "
        "None was violated."
    )
    assert exploration_in_words(lost_update()) == (
        f"{everything}92 schedules, 41 skipped as equivalent, nothing uncontrolled. "
        "89 were violated, the first was schedule 3."
    )
    assert exploration_in_words(bounded(reasons=("the budget ended",))) == (
        "Every order with at most 2 preemptions was tried, and 200 at random: "
        "361 schedules, 118 skipped as equivalent, 4 uncontrolled. None was violated. "
        "Not exhausted: the budget ended."
    )
    serial = exploration(exhausted=False, explored=1, pruned=0, violated=1, no_race_needed=True)
    assert exploration_in_words(serial) == (
        "Some orders were tried: 1 schedule, 0 skipped as equivalent, nothing uncontrolled. "
        "1 was violated. One request after the other is violated already: no race is needed."
    )


def test_the_verdict_has_its_weight_beside_it() -> None:
    assert verdict_in_words(_cell("double-spend", "hardened")) == "held, exhausted"
    assert verdict_in_words(_cell("deadlock", "hardened")) == "held, bounded"
    assert verdict_in_words(_cell("fees", "fragile")) == "violated, no race needed"
    assert verdict_in_words(_cell("voucher", "hardened")) == "unknown"
    assert verdict_in_words(cell_of(sample(), "double-spend", "hardened")) == "held"


def test_the_weight_in_brief_counts_schedules_or_cases() -> None:
    assert strength_in_brief(_cell("deadlock", "hardened")) == "bounded, 361 schedules"
    assert strength_in_brief(_cell("lost-answer", "hardened")) == "bounded, 26 cases"
    assert strength_in_brief(_cell("fees", "fragile")) == (
        "violated in 2 of 2 schedules, no race needed"
    )


def test_several_races_are_told_apart() -> None:
    cell = _cell("long", "fragile")
    counts = "392 schedules, 82 skipped as equivalent, nothing uncontrolled; 291 violated."
    assert strength_in_words(cell) == f"2 races, all of them exhausted: {counts}"
    mixed = cell.model_copy(update={"explorations": (bounded(), bounded())})
    assert strength_in_words(mixed) == (
        "2 races, none of them exhausted: 722 schedules, 236 skipped as equivalent, "
        "8 uncontrolled; none violated."
    )
    assert "Five payments: every distinguishable" in _text("long").replace("\n          ", " ")


def test_a_search_and_faults_in_one_cell_are_both_weighed() -> None:
    both = _cell("double-spend", "hardened").model_copy(
        update={"fault_cases": fault_cases(violated=False)}
    )
    assert strength_in_words(both).endswith(
        "None was violated. Up to 6 faults at each of 5 statements: 26 cases, none violated."
    )
    assert strength_in_brief(both).endswith("8 schedules")


def test_faults_in_words() -> None:
    even = tuple(
        case for case in fault_cases(violated=True) if case.fault != "acknowledgement lost"
    )
    assert faults_in_words(even) == "5 faults at each of 5 statements: 25 cases, 1 violated."
    assert faults_in_words(even[:1]) == "1 fault at each of 1 statement: 1 case, none violated."
    assert faults_in_words(()) == ""


def test_the_losing_schedule_is_the_argument() -> None:
    text = _text("double-spend")
    parts = (
        "violated in 89 of 92 schedules",
        "Race: two payments of the whole balance",
        "▶     5 ",
        "In the end: wallet 1: 0.00, shop: 100.00, mall: 100.00",
        "One after the other: A 201, then B 409 insufficient funds; wallet 1: 0.00, shop: 100.00,",
        "Wallet 1 held 100.00 and A was paid 100.00",
        "Predicted lost update: it reads wallets.balance without a lock and writes it afterwards.",
        "Predicted deadlock: it writes one row only. Refuted: no order of the statements shows it.",
        "Replay    assay replay reports/out/2026-11-21T09-14-03-compare/schedules/",
        "double-spend.fragile.json   (reproduced 100 of 100)",
        "Again     assay verify --build fragile --only double-spend",
    )
    places = [text.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)
    assert "times in ms" not in text


def test_without_a_schedule_the_requests_are_drawn() -> None:
    assert "times in ms" in _text("deadlock", "hardened")
    assert "Race:" not in _text("deadlock", "hardened")
    assert "┃ waits for A" in _text("double-spend", "hardened")


def test_an_unknown_says_why() -> None:
    text = " ".join(_text("voucher", "hardened").split())
    assert "29 of 37 schedules were serialised by the application" in text
    assert (
        "Not exhausted: the budget of 60 s ended before every order was tried; 4 schedules" in text
    )


def test_the_command_names_the_folder_and_can_be_pasted() -> None:
    saved = lost_update().model_copy(update={"schedule_file": "pay out.json", "reproduced": None})
    assert replay_command("run", saved, None) == "assay replay 'reports/out/run/pay out.json'"
    assert replay_command("run", saved, Path("other/run")) == (
        "assay replay 'other/run/pay out.json'"
    )
    assert replay_command("run", exhausted(), None) == ""
    text = _text("payout", folder=Path("elsewhere"))
    assert "Replay    assay replay 'elsewhere/schedules/pay out.json'\n" in text


FAULTS = """\
      1   INSERT INTO idempotency_keys (scope, key) VALUES ('wallet 1', '6b1f')     ✓  ✓  ✓  ✓  ✓  ·
      2   SELECT balance FROM wallets WHERE id = 1 FOR UPDATE                       ✓  ✓  ✓  ✓  ✓  ·
      3   UPDATE wallets SET balance = 0.00 WHERE id = 1                            ✓  ✓  ✓  ✓  ✓  ·
      4   INSERT INTO transactions VALUES (7, 1, 2, 100.00)                         ✓  ✓  ✓  ✓  ✓  ·
      5   COMMIT                                                                    ✓  ✕  ✓  ✓  ✓  ✕
          a = connection reset before the statement"""


def test_faults_are_a_matrix_and_violations_are_told_in_full() -> None:
    text = _text("lost-answer")
    assert FAULTS in text
    assert "✓ held   ✕ violated   · not tried" in text
    assert (
        "▶         acknowledgement lost at statement 5 (COMMIT): the client was told no answer, "
        "PostgreSQL\n          says committed; a retry was answered: 201, paid twice."
    ) in text
    assert "▶" not in "\n".join(fault_blocks(_cell("lost-answer", "hardened"), 100)[0])


def test_each_request_has_its_table_and_repeated_cases_share_a_mark() -> None:
    first, *_ = cases = fault_cases(violated=False)
    again = first.model_copy(update={"database": "committed", "violated": True, "retry": ""})
    other = first.model_copy(update={"request": "deposit"})
    one, two = lay_out_faults((*cases, again, other))
    assert (one.request, two.request) == (first.request, "deposit")
    mark = one.rows[0].marks[0]
    assert (mark.sign, mark.database) == ("✕", "aborted, committed")
    assert not two.has_gaps


def test_many_faults_and_many_violations_stay_readable() -> None:
    case = fault_cases(violated=True)[0].model_copy(update={"violated": True, "retry": ""})
    cases: tuple[FaultCase, ...] = tuple(
        case.model_copy(update={"fault": f"fault {number}"}) for number in range(30)
    )
    cell = _cell("lost-answer", "fragile").model_copy(update={"fault_cases": cases})
    (lines,) = fault_blocks(cell, 160)
    assert lines[1].split()[-5:] == ["z", "27", "28", "29", "30"]
    assert sum(line.startswith("▶") for line in lines) == 12
    assert lines[-1].strip() == "…and 18 more violations in the report"
    assert "a retry" not in lines[-2]


def test_the_summary_lists_every_search_and_folds_the_serial_order() -> None:
    text = render_markdown(EVIDENCE)
    race = "two payments of the whole balance"
    assert f"| double-spend | hardened | {race} | 8 | 12 | 0 | 0 | exhausted |" in text
    assert "| 361 | 118 | 4 | 0 | preemptions ≤ 2 |" in text
    assert "| 2 | 0 | 0 | 2 |  |" in text
    block = text.split("VIOLATED  double-spend")[1].split("VIOLATED  deadlock")[0]
    folded = block.split("<details><summary>For comparison: one request after the other</summary>")
    assert "ROLLBACK ╌╌╌╌╌╌╌╌╌ ⇒ 409 insufficient funds" in folded[1]
    assert text.count("<details>") == text.count("</details>") - text.count("500 ``` </details>")
    assert "````text" in text


def test_the_summary_stays_short_and_leaves_out_what_was_not_searched() -> None:
    assert "Orders that were tried" not in render_markdown(sample())
    many = EVIDENCE.model_copy(update={"cells": EVIDENCE.cells * 8})
    assert "…and 44 more in `report.html`." in render_markdown(many)


def test_no_strength_without_rounds() -> None:
    none = Strength(kind="bounded", rounds=0, violated_rounds=0, overlapped_rounds=0, requests=0)
    cell = _cell("double-spend", "hardened").model_copy(
        update={"strength": none, "explorations": (), "verdict": Verdict.UNKNOWN}
    )
    assert strength_in_words(cell) == "Nothing was run."
