"""Windows that let so many through: in this process, and the fragile one in Redis."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest

from engine import local_window
from engine.local_window import LocalWindow, RateLimit
from engine.rate_limits import FixedWindow, SlidingWindow

THREE_IN_TEN = RateLimit(name="test", requests=3, window_s=10)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with patch("engine.local_window.time.monotonic", clock):
        yield clock


def _admitted(window: LocalWindow, caller: str = "me") -> bool:
    return window.take(caller).taken_s is not None


def test_the_window_slides(clock: Clock) -> None:
    window = LocalWindow(THREE_IN_TEN)
    admitted = []
    for at_s in (0.0, 9.0, 9.5, 9.9, 10.0, 10.1, 18.9, 19.0):
        clock.now_s = 100.0 + at_s
        if _admitted(window):
            admitted.append(at_s)
    assert admitted == [0.0, 9.0, 9.5, 10.0, 19.0]


def test_who_is_refused_is_told_how_long_to_wait(clock: Clock) -> None:
    window = LocalWindow(THREE_IN_TEN)
    for _ in range(3):
        assert _admitted(window)
        clock.now_s += 1
    assert window.take("me").wait_s == 7.0
    assert _admitted(window, "somebody else")


def test_a_place_that_is_given_back_is_free(clock: Clock) -> None:
    window = LocalWindow(THREE_IN_TEN)
    first = window.take("me")
    clock.now_s += 4
    assert _admitted(window)
    assert _admitted(window)
    window.give_back(first)
    assert _admitted(window)
    clock.now_s += 6  # The first would have left now; it was not the one that stayed.
    assert not _admitted(window)


def test_memory_is_bounded_by_what_came_in_the_window(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = LocalWindow(THREE_IN_TEN)
    for number in range(100):
        clock.now_s += 1
        assert _admitted(window, f"caller {number}")
    assert len(window._taken) == 10
    monkeypatch.setattr(local_window, "MOST_CALLERS", 5)
    for number in range(100):
        assert _admitted(window, f"other {number}")
    assert len(window._taken) <= 6


class LittleRedis:
    """Counts; `between` runs before each command but the first."""

    believed_up = True

    def __init__(self, between: Callable[[], None] = lambda: None) -> None:
        self.values: dict[str, int] = {}
        self.ends: dict[str, int] = {}
        self.away = False
        self._between = between

    def call(self, command: Any, otherwise: Any = None) -> Any:
        return otherwise if self.away else command(self)

    def state(self) -> Any:
        return "up"

    def get(self, key: str) -> int | None:
        return self.values.get(key)

    def incr(self, key: str) -> int:
        between, self._between = self._between, lambda: None
        between()
        self.values[key] = self.values.get(key, 0) + 1
        return self.values[key]

    def expire(self, key: str, seconds: int) -> None:
        self.ends[key] = seconds

    def eval(self, *_: Any) -> int:
        return 5_000_000


def test_a_fixed_window_counts() -> None:
    redis = LittleRedis()
    window = FixedWindow(redis, THREE_IN_TEN, lambda caller: f"limit:{caller}")
    assert [window.take("me") for _ in range(5)] == [0.0, 0.0, 0.0, 10.0, 10.0]
    assert redis.ends == {"limit:me": 10}
    redis.away = True
    assert window.take("me") == 0.0, "nobody counts without Redis"


def test_between_get_and_incr_somebody_else_passes() -> None:
    passed: list[float] = []
    redis = LittleRedis(between=lambda: passed.append(window.take("me")))
    window = FixedWindow(redis, RateLimit(name="one", requests=1, window_s=10), str)
    passed.append(window.take("me"))
    assert passed == [0.0, 0.0]


def test_what_redis_refuses_takes_no_place_here(clock: Clock) -> None:
    redis = LittleRedis()
    window = SlidingWindow(redis, THREE_IN_TEN, str)
    assert [window.take("me") for _ in range(9)] == [5.0] * 9
    redis.away = True
    assert [window.take("me") for _ in range(4)] == [0.0, 0.0, 0.0, 10.0]
