"""The judge by SQL says what the small one says, of every recorded history, good and bad."""

from dataclasses import replace
from pathlib import Path

import pytest

from attacks.history import History
from reports.evidence import Verdict
from scenarios.audit import audit
from scenarios.catalogue import SCENARIOS
from scenarios.scale import audit_archive
from tests.unit.histories.archived import archived
from tests.unit.histories.recorded import FOLDER, Recording, read

RECORDINGS = sorted(path.name.removesuffix(".jsonl") for path in FOLDER.glob("*.jsonl"))
ALWAYS = ("double-spend", "read-skew", "partial-commit", "lost-ack", "deadlock", "ledger")
"""The others take minutes together."""


def parts_of(recording: Recording) -> list[History]:
    """Each round by itself and what belongs to none, and all of it, as one load each."""
    history = recording.history
    rounds = {operation.round for operation in history.operations}
    each = [
        tuple(o for o in history.operations if o.round == number)
        for number in sorted(rounds, key=lambda n: -1 if n is None else n)
    ]
    return [
        History(operations=tuple(replace(o, round=None) for o in operations))
        for operations in (*each, history.operations)
    ]


@pytest.mark.parametrize(
    "name",
    [
        name if name.startswith(ALWAYS) else pytest.param(name, marks=pytest.mark.slow)
        for name in RECORDINGS
    ],
)
def test_the_verdicts_are_those_of_the_small_judge(name: str, tmp_path: Path) -> None:
    claim, kind = name.rsplit(".", 1)
    recording = read(claim, "good" if kind == "good" else "bad")
    for number, history in enumerate(parts_of(recording)):
        folder = tmp_path / str(number)
        folder.mkdir()
        archived(folder, history, recording.truth)
        small, large = audit(history, recording.truth), audit_archive(folder)
        said = {check.claim: check for check in large.checks}
        for check in small.checks:
            assert said[check.claim].verdict == check.verdict, (check, said[check.claim])
        assert (large.payments, large.doubts) == (small.payments, small.doubts)
        if kind == "good":
            assert all(c.verdict is not Verdict.VIOLATED for c in large.checks[len(small.checks) :])


def test_every_recording_is_compared() -> None:
    assert len(RECORDINGS) == 2 * len(SCENARIOS) - sum(s.canary for s in SCENARIOS)
