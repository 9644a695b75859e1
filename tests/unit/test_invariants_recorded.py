"""Recorded pairs: a real run that was right is held, a real run that was wrong is violated."""

import json

import pytest

from reports.evidence import Verdict
from scenarios.catalogue import SCENARIOS
from scenarios.judging import judge
from scenarios.model import Scenario
from tests.unit.histories.recorded import FOLDER, Kind, read

MOST_BYTES = 64_000


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_bad_history_is_violated_by_the_right_invariant(scenario: Scenario) -> None:
    recording = read(scenario.name, "bad")
    judged = judge(scenario, recording.history, recording.truth)
    assert judged.verdict is Verdict.VIOLATED
    assert judged.findings[0].invariant == recording.contradiction
    known = {operation.id for operation in recording.history.operations}
    assert known.issuperset(i for finding in judged.findings for i in finding.operations)


@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if not s.canary], ids=lambda scenario: scenario.name
)
def test_a_good_history_is_held(scenario: Scenario) -> None:
    recording = read(scenario.name, "good")
    judged = judge(scenario, recording.history, recording.truth)
    assert judged.verdict is Verdict.HELD, judged.cause
    assert judged.requests > 0


def test_every_claim_has_its_pair_and_nothing_else_is_there() -> None:
    kinds: tuple[Kind, ...] = ("good", "bad")
    expected = {
        f"{scenario.name}.{kind}.{ending}"
        for scenario in SCENARIOS
        for kind in kinds
        for ending in ("jsonl", "truth.json")
        if not (scenario.canary and kind == "good")
    }
    present = {path.name for path in FOLDER.iterdir() if path.suffix in (".jsonl", ".json")}
    assert present == expected, "record them: python -m tests.unit.histories.record [CLAIM…]"


def test_recordings_are_small_and_tell_no_secret() -> None:
    for path in sorted(FOLDER.glob("*.jsonl")):
        text = path.read_text()
        assert len(text) < MOST_BYTES, f"{path.name}: cut it to fewer rounds"
        for secret in ("Bearer", "access_token", "password", "eyJ"):
            assert secret not in text, f"{path.name} holds {secret}"
        assert all(json.loads(line) for line in text.splitlines())
