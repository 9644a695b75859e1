"""The judge that looks on: whatever ends it is said."""

from typing import Any, cast

import pytest

from scenarios.loading.live import Watch
from scenarios.scale import ArchiveError


class Judge:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ArchiveError("the folder cannot be judged"), "the folder cannot be judged"),
        (ZeroDivisionError("what?"), "ZeroDivisionError('what?')"),
    ],
)
def test_a_judge_that_dies_is_said(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenarios.loading.live.EVERY_S", 0.0)
    watch = Watch(open_judge=lambda: cast("Any", Judge(error)), since_clock_s=lambda: 0.0)
    watch.begin()
    assert watch._thread is not None
    watch._thread.join(10)
    watch.stop()
    assert watch.problem == f"the invariants could not be judged while the load went on: {says}"
