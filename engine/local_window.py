"""A sliding window in this process: what it let through itself, by caller."""

import threading
import time
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass

MOST_CALLERS = 10_000


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """At most `requests` in any window of this length, each caller by itself."""

    name: str
    requests: int
    window_s: int


@dataclass(frozen=True, kw_only=True)
class Place:
    caller: str
    taken_s: float | None
    """None: there was none, and there will be one after `wait_s`."""
    wait_s: float = 0.0


class LocalWindow:
    """Exact for one process. A place is taken first, and given back if somebody else says no."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()
        """When each place was taken; the caller that was here last stands last."""

    def take(self, caller: str) -> Place:
        now_s = time.monotonic()
        with self._lock:
            self._drop_idle(now_s)
            places = self._taken.setdefault(caller, deque())
            while places and places[0] <= now_s - self._limit.window_s:
                places.popleft()
            if len(places) >= self._limit.requests:
                wait_s = places[0] + self._limit.window_s - now_s
                return Place(caller=caller, taken_s=None, wait_s=wait_s)
            places.append(now_s)
            self._taken.move_to_end(caller)
            return Place(caller=caller, taken_s=now_s)

    def give_back(self, place: Place) -> None:
        """It was not used after all."""
        with self._lock, suppress(KeyError, ValueError):
            self._taken[place.caller].remove(place.taken_s or 0.0)

    def _drop_idle(self, now_s: float) -> None:
        """Memory follows what came within the window, and is bounded whatever comes."""
        while self._taken:
            caller, places = next(iter(self._taken.items()))
            idle = not places or places[-1] <= now_s - self._limit.window_s
            if not idle and len(self._taken) <= MOST_CALLERS:
                return
            del self._taken[caller]
