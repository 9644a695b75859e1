"""The judge that looks on: whatever ends it is said."""

from typing import Any, cast

import pytest

from scenarios.loading.live import Watch
from scenarios.scale import ArchiveError, SoFar


class Judge:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self, *, at_rest: bool) -> None:
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


class Steps:
    """Sees at its second step what it has read at the first."""

    def __init__(self) -> None:
        self._steps = 0

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self, *, at_rest: bool) -> SoFar:
        self._steps += 1
        wrong = ("a payment is missing",) if self._steps > 1 else ()
        return SoFar(acknowledged=5, checked=self._steps - 1, violations=wrong, lasted_s=0.0)


@pytest.mark.parametrize(("at_rest", "violations"), [(True, 1), (False, 0)])
def test_in_the_end_all_is_judged_that_was_read(at_rest: bool, violations: int) -> None:
    watch = Watch(open_judge=lambda: cast("Any", Steps()), since_clock_s=lambda: 0.0)
    watch.begin()
    if at_rest:
        watch.conclude()
    watch.stop()
    assert watch.problem == ""
    assert sum(bool(seen.violations) for seen in watch.seen) == violations
