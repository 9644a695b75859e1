"""From what a cell saw to what the document says of it."""

from dataclasses import replace

import pytest

from attacks.history import Event, History
from engine.defences import parse_build
from reports.evidence import Cell, Measure, Verdict
from scenarios.catalogue import SCENARIOS
from scenarios.cell import Observation
from scenarios.evidence import (
    MOST_FINDINGS,
    MOST_MOMENTS,
    build_of,
    cell_of,
    claim_of,
    predicted,
    suites_of,
)
from scenarios.invariants import Finding
from scenarios.judging import Judgement, judge, not_applicable
from scenarios.model import Scenario
from scenarios.needs import switch
from tests.unit.histories.recorded import read
from tests.unit.histories.small import move, operation

FRAGILE, HARDENED = parse_build("fragile"), parse_build("hardened")
DOUBLE_SPEND = next(s for s in SCENARIOS if s.name == "double-spend")


def _observation(history: History, verdict: Verdict, *findings: Finding) -> Observation:
    judgement = Judgement(verdict=verdict, cause="A cause.", findings=findings)
    return Observation(history=history, judgement=judgement)


def _cell(
    observation: Observation, scenario: Scenario = DOUBLE_SPEND, build: str = "fragile"
) -> Cell:
    return cell_of(
        scenario,
        parse_build(build),
        observation,
        history_file="histories/x.jsonl",
        duration_s=1.23456,
        reproduce="assay verify --build fragile --only double-spend --seed 7",
    )


def _finding(*operations: int, round: int = 1) -> Finding:  # noqa: A002 - the field's word for it
    return Finding(
        invariant="x",
        summary="It is wrong.",
        expected="right",
        observed="wrong",
        round=round,
        operations=operations,
    )


def test_a_recorded_violation_becomes_a_cell() -> None:
    recording = read("double-spend", "bad")
    judged = judge(DOUBLE_SPEND, recording.history, recording.truth)
    cell = _cell(Observation(history=recording.history, judgement=judged))
    assert (cell.verdict, cell.predicted) == (Verdict.VIOLATED, Verdict.VIOLATED)
    assert cell.as_predicted
    assert cell.findings[0].invariant == "never paid out more than held"
    assert cell.timeline_round == cell.findings[0].round
    assert sum(moment.culprit for moment in cell.timeline) == 2
    assert cell.timeline[0].at_s == 0
    assert cell.switches == {"locking": "none"}
    assert cell.duration_s == 1.235
    assert cell.reproduce.startswith("assay verify --build fragile --only double-spend")
    assert "--seed 7" in cell.reproduce


def test_a_claim_brings_its_story() -> None:
    claim = claim_of(DOUBLE_SPEND)
    assert claim.known_as.startswith("Double spend")
    assert claim.holds_when == DOUBLE_SPEND.holds_when.text
    assert not claim.canary


def test_a_build_brings_every_switch() -> None:
    assert build_of(FRAGILE, "read committed").defences["locking"] == "none"
    assert (
        build_of(parse_build("hardened,locking=none"), "read committed").name
        == "hardened,locking=none"
    )


def test_the_prediction_follows_the_switches() -> None:
    assert predicted(DOUBLE_SPEND, FRAGILE) is Verdict.VIOLATED
    assert predicted(DOUBLE_SPEND, HARDENED) is Verdict.HELD
    assert predicted(DOUBLE_SPEND, parse_build("fragile,locking=version")) is Verdict.HELD


def test_what_is_not_applicable_was_never_predicted_otherwise() -> None:
    empty = Observation(history=History(operations=()), judgement=not_applicable("Not ours."))
    cell = _cell(empty)
    assert (cell.verdict, cell.predicted) == (Verdict.NOT_APPLICABLE, Verdict.NOT_APPLICABLE)
    assert cell.timeline == ()
    assert cell.timeline_round is None


def test_the_timeline_is_of_the_first_violated_round_with_its_faults() -> None:
    operations = tuple(operation(n, move("a", "b", 1), round=n // 2) for n in range(2, 8))
    events = (
        Event(kind="kill", text="killed", round=2, at_s=4.25, until_s=4.75),
        Event(kind="waiting", text="it waits", round=2, at_s=4.1),
        Event(kind="cut", text="elsewhere", round=3, at_s=6.1),
    )
    history = History(operations=operations, events=events)
    cell = _cell(_observation(history, Verdict.VIOLATED, _finding(5, round=2), _finding(6)))
    told = [(m.at_s, m.until_s, m.actor, m.outcome, m.culprit) for m in cell.timeline]
    assert told == [
        (0.0, 0.5, "A", "ok", False),
        (pytest.approx(0.1), None, "lab", "event", False),
        (0.25, 0.75, "fault", "event", False),
        (1.0, 1.5, "A", "ok", True),
    ]
    held = _cell(_observation(history, Verdict.HELD))
    assert held.timeline_round == 3


@pytest.mark.parametrize("culprit", [0, 3, 150, 299])
def test_a_long_timeline_is_cut_around_its_culprit(culprit: int) -> None:
    history = History(operations=tuple(operation(n) for n in range(300)))
    cell = _cell(_observation(history, Verdict.VIOLATED, _finding(culprit)))
    assert len(cell.timeline) == MOST_MOMENTS
    assert [m.text for m in cell.timeline if m.culprit] == [f"transfer {culprit}"]
    without = _cell(_observation(history, Verdict.HELD))
    assert without.timeline[-1].text == "transfer 299"


def test_findings_are_bounded() -> None:
    findings = [_finding(1)] * (MOST_FINDINGS + 5)
    cell = _cell(_observation(History(operations=()), Verdict.VIOLATED, *findings))
    assert len(cell.findings) == MOST_FINDINGS


def test_a_figure_that_cannot_be_measured_costs_no_run() -> None:
    def counted(history: History) -> Measure:
        return Measure(name="requests", value=str(len(history.operations)))

    def ratio(history: History) -> Measure:
        return Measure(name="ratio", value=str(1 / len(history.operations)))

    scenario = replace(DOUBLE_SPEND, measures=(counted, ratio))
    cell = _cell(_observation(History(operations=()), Verdict.UNKNOWN), scenario)
    assert [(m.name, m.value.partition(":")[0]) for m in cell.measures] == [
        ("requests", "0"),
        ("ratio", "not measured"),
    ]


@pytest.mark.parametrize("kind", ["good", "bad"])
def test_every_scenario_can_measure_what_was_recorded(kind: str) -> None:
    for scenario in SCENARIOS:
        if scenario.measures:
            history = read(scenario.name, "good" if kind == "good" else "bad").history
            for measure in scenario.measures:
                told = measure(history)
                assert told.name
                assert told.value


def test_a_suite_is_as_bad_as_its_worst_claim() -> None:
    first, second = (
        replace(DOUBLE_SPEND, name="first"),
        replace(DOUBLE_SPEND, name="second", holds_when=switch("retry", "bounded")),
    )
    other = replace(DOUBLE_SPEND, name="other", suite="money")
    empty = History(operations=())
    cells = [
        _cell(_observation(empty, verdict), scenario, build)
        for scenario, build, verdict in (
            (other, "hardened", Verdict.HELD),
            (first, "hardened", Verdict.HELD),
            (second, "hardened", Verdict.UNKNOWN),
            (first, "fragile", Verdict.VIOLATED),
            (second, "fragile", Verdict.NOT_APPLICABLE),
        )
    ]
    suites = suites_of((other, first, second), (FRAGILE, HARDENED), cells)
    assert [(s.suite, s.build, s.verdict, s.predicted, s.named) for s in suites] == [
        ("double spend", "fragile", Verdict.VIOLATED, Verdict.VIOLATED, True),
        ("double spend", "hardened", Verdict.UNKNOWN, Verdict.HELD, True),
        ("money", "hardened", Verdict.HELD, Verdict.HELD, False),
    ]
