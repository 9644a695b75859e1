"""Planted bugs in Assay itself: a judge that says nothing, a look into the database that lies.

Judged over recorded histories, without servers. Whatever is broken here, the run has to go red.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from attacks.history import History
from engine.defences import Build, parse_build
from reports.evidence import Evidence, Verdict
from reports.judgement import exit_code
from scenarios.catalogue import SCENARIOS
from scenarios.cell import Observation
from scenarios.evidence import build_of, cell_of, claim_of, predicted, suites_of
from scenarios.invariants import Finding, Invariant, Observed
from scenarios.invariants.observed import wallets_of
from scenarios.judging import judge
from scenarios.model import Scenario
from scenarios.truth import GroundTruth
from tests.unit.evidence_samples import clean_sample
from tests.unit.histories.recorded import BAD_BUILDS, Kind, read

HARDENED = parse_build("hardened")
CANARY = next(scenario for scenario in SCENARIOS if scenario.canary)


def _bad_build(scenario: Scenario) -> Build:
    return parse_build(BAD_BUILDS.get(scenario.name, "fragile"))


BREAKABLE = tuple(s for s in SCENARIOS if predicted(s, _bad_build(s)) is Verdict.VIOLATED)
"""Claims that a build breaks, with a recording of it."""


def _silent(observed: Observed) -> tuple[Finding, ...]:
    return ()


def _crashing(observed: Observed) -> tuple[Finding, ...]:
    raise ZeroDivisionError


def _evidence(
    scenario: Scenario, kind: Kind, truth: GroundTruth | None = None, judged_by: str = "prediction"
) -> Evidence:
    """A run of one cell, over what was recorded."""
    recording = read(scenario.name, kind)
    build = _bad_build(scenario) if kind == "bad" else HARDENED
    judged = judge(scenario, recording.history, truth or recording.truth)
    cell = cell_of(
        scenario,
        build,
        Observation(history=recording.history, judgement=judged),
        history_file="histories/recorded.jsonl",
        duration_s=1.0,
        reproduce="assay verify",
    )
    return clean_sample().model_copy(
        update={
            "builds": (build_of(build, "read committed"),),
            "claims": (claim_of(scenario),),
            "cells": (cell,),
            "suites": suites_of((scenario,), (build,), (cell,)),
            "judged_by": judged_by,
        }
    )


def _judged_by(scenario: Scenario, *invariants: Invariant) -> Scenario:
    return replace(scenario, invariants=invariants)


@pytest.mark.parametrize("scenario", BREAKABLE, ids=lambda scenario: scenario.name)
def test_a_judge_that_sees_nothing_is_seen(scenario: Scenario) -> None:
    """The fragile build is predicted to break: one that is found to hold is as red."""
    assert exit_code(_evidence(scenario, "bad")) == 0
    blind = _judged_by(scenario, *[_silent for _ in scenario.invariants])
    evidence = _evidence(blind, "bad")
    assert evidence.cells[0].verdict is not Verdict.VIOLATED
    assert not evidence.cells[0].as_predicted
    assert exit_code(evidence) in (1, 3)
    if not evidence.cells[0].reasons:
        assert exit_code(evidence) == 1


@pytest.mark.parametrize("scenario", BREAKABLE, ids=lambda scenario: scenario.name)
def test_a_judge_that_crashes_is_seen(scenario: Scenario) -> None:
    broken = _judged_by(scenario, *[_crashing for _ in scenario.invariants])
    evidence = _evidence(broken, "bad")
    assert evidence.cells[0].verdict is Verdict.UNKNOWN
    assert exit_code(evidence) == 3


@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if not s.canary], ids=lambda scenario: scenario.name
)
def test_a_judge_that_always_accuses_is_seen(scenario: Scenario) -> None:
    def accuses(observed: Observed) -> tuple[Finding, ...]:
        return (Finding(invariant="x", summary="x.", expected="", observed="", round=1),)

    assert exit_code(_evidence(scenario, "good")) == 0
    assert exit_code(_evidence(_judged_by(scenario, accuses), "good")) == 1


def _name(invariant: Invariant) -> str:
    return str(getattr(invariant, "__qualname__", invariant)).split(".")[0]


def _overdrawn(truth: GroundTruth) -> GroundTruth:
    wallet = next(iter(truth.balances))
    balances = dict(truth.balances)
    balances[wallet] = replace(balances[wallet], amount_minor=Decimal(-1))
    return replace(truth, balances=balances)


def _unlike_answers(history: History) -> History:
    operations = [
        replace(o, values={"body": f"answer {o.id}"}) if o.key else o for o in history.operations
    ]
    return replace(history, operations=tuple(operations))


def _server_error(history: History) -> History:
    last = [o for o in history.operations if o.round is not None and o.moves][-1]
    broken = replace(last, status=500, outcome="unknown", answer="500")
    operations = [broken if o is last else o for o in history.operations]
    return replace(history, operations=tuple(operations))


def _unrecorded(truth: GroundTruth) -> GroundTruth:
    return replace(truth, effects=(), records_kept=False)


def _last_movement(status: int) -> Callable[[History], History]:
    """The last one of the attack was refused."""

    def broken(history: History) -> History:
        last = [o for o in history.operations if o.moves and o.actor == "A"][-1]
        refused = replace(last, status=status, outcome="failed", answer=str(status))
        operations = [refused if o is last else o for o in history.operations]
        return replace(history, operations=tuple(operations))

    return broken


def _first_refused(history: History) -> History:
    first = next(o for o in history.operations if o.name == "log-in" and o.round is not None)
    refused = replace(first, status=429, outcome="failed", answer="429")
    operations = [refused if o is first else o for o in history.operations]
    return replace(history, operations=tuple(operations))


def _more_in_escrow(truth: GroundTruth) -> GroundTruth:
    assert truth.escrow, "what is held waits somewhere"
    return replace(truth, escrow={asset: amount + 1 for asset, amount in truth.escrow.items()})


def _as_it_is(history: History) -> History:
    return history


PLANTED: dict[
    str, tuple[str, Callable[[History], History], Callable[[GroundTruth], GroundTruth]]
] = {
    "holds_are_counted": ("in-flight-funds", _as_it_is, _more_in_escrow),
    "losers_get_409": ("conflict", _last_movement(402), lambda truth: truth),
    "refused_only_above": ("rate-limit", _first_refused, lambda truth: truth),
    "movements_can_be_found": ("acked-not-committed", _as_it_is, _unrecorded),
    "no_server_error": ("deadlock", _server_error, lambda truth: truth),
    "never_overdrawn": ("double-spend", _as_it_is, _overdrawn),
    "replays_answer_alike": ("sequential-replay", _unlike_answers, lambda truth: truth),
}
"""Invariants that no recording happens to break, and how a good recording is broken for them."""


def test_every_invariant_of_the_catalogue_accuses_alone() -> None:
    """None is there for show: with each of the others silenced, something is still found."""
    used = {_name(i): i for s in SCENARIOS for i in s.invariants}
    accusing = set()
    for scenario in SCENARIOS:
        recording = read(scenario.name, "bad")
        for invariant in scenario.invariants:
            judged = judge(_judged_by(scenario, invariant), recording.history, recording.truth)
            if judged.verdict is Verdict.VIOLATED:
                accusing.add(_name(invariant))
    for name, (claim, break_history, break_truth) in PLANTED.items():
        recording = read(claim, "good")
        scenario = next(s for s in SCENARIOS if s.name == claim)
        judged = judge(
            _judged_by(scenario, used[name]),
            break_history(recording.history),
            break_truth(recording.truth),
        )
        if judged.verdict is Verdict.VIOLATED:
            accusing.add(name)
    missing = sorted(set(used) - accusing)
    assert not missing, f"no recording shows {missing[0]} accusing: add one to PLANTED"


def _deaf(truth: GroundTruth, hears: frozenset[str]) -> GroundTruth:
    """Sees no money in any wallet that it does not hear."""
    return replace(
        truth,
        balances={
            w: b if w in hears else replace(b, amount_minor=Decimal(0))
            for w, b in truth.balances.items()
        },
    )


def _control_wallets(history: History) -> frozenset[str]:
    return wallets_of(o for o in history.operations if o.round is None)


@pytest.mark.parametrize("judged_by", ["prediction", "verdict"])
def test_a_deaf_target_does_not_get_past_the_canary(judged_by: str) -> None:
    """It reads the control payments right and is deaf to all else: only the canary can tell."""
    assert exit_code(_evidence(CANARY, "bad", judged_by=judged_by)) == 0
    recording = read(CANARY.name, "bad")
    deaf = _deaf(recording.truth, hears=_control_wallets(recording.history))
    evidence = _evidence(CANARY, "bad", truth=deaf, judged_by=judged_by)
    assert evidence.cells[0].verdict is Verdict.HELD
    assert exit_code(evidence) == 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_holds_by_a_look_that_sees_nothing(scenario: Scenario) -> None:
    kind: Kind = "bad" if scenario.canary else "good"
    recording = read(scenario.name, kind)
    for lie in (GroundTruth(), _deaf(recording.truth, hears=frozenset())):
        judged = judge(scenario, recording.history, lie)
        assert judged.verdict is not Verdict.HELD
        assert exit_code(_evidence(scenario, kind, truth=lie)) in (1, 3)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_holds_by_a_recorder_that_forgets_the_attack(scenario: Scenario) -> None:
    recording = read(scenario.name, "bad" if scenario.canary else "good")
    kept = tuple(o for o in recording.history.operations if o.round is None)
    control = wallets_of(kept)
    truth = replace(
        recording.truth,
        balances={w: b for w, b in recording.truth.balances.items() if w in control},
    )
    judged = judge(scenario, History(operations=kept), truth)
    assert judged.verdict is Verdict.UNKNOWN
