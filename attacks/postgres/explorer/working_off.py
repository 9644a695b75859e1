"""Works a search off, at one place or at several: each place tries one branch at a time."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from attacks.postgres.explorer.run import Choose, Run
from attacks.postgres.explorer.search import Branch, Following, Search


class HasRun(Protocol):
    @property
    def run(self) -> Run: ...


@dataclass(kw_only=True)
class WorkingOff:
    """One search under way. Use once: `WorkingOff(…).to_the_end()`."""

    search: Search
    places: Sequence[Callable[[Choose], Any]]
    """Each with a database of its own; called from one thread each."""
    weigh: Callable[[Any], bool]
    """Takes what a place brought; False ends the search."""
    most: int
    until_s: float
    _busy: int = 0
    _over: bool = False
    _failure: BaseException | None = None
    _moved: threading.Condition = field(default_factory=threading.Condition)

    def to_the_end(self) -> bool:
        """Whether everything was worked off. Raises what a place raised."""
        others = [
            threading.Thread(target=self._work, args=(place,), daemon=True)
            for place in self.places[1:]
        ]
        for thread in others:
            thread.start()
        self._work(self.places[0])
        for thread in others:
            thread.join()
        if self._failure is not None:
            raise self._failure
        return self.search.finished and not self._over

    def _work(self, place: Callable[[Choose], HasRun]) -> None:
        while (branch := self._next()) is not None:
            tried = None
            try:
                tried = place(Following(branch=branch, reduce=self.search.reduce))
            except BaseException as error:  # noqa: BLE001 - raised again by the one who waits
                self._failure = self._failure or error
            self._take(branch, tried)

    def _next(self) -> Branch | None:
        with self._moved:
            self._moved.wait_for(lambda: self._over or not self.search.finished or not self._busy)
            if self.search.explored >= self.most or time.monotonic() > self.until_s:
                self._over = self._over or not self.search.finished
            if self._over or self.search.finished:
                self._moved.notify_all()
                return None
            self._busy += 1
            return self.search.next()

    def _take(self, branch: Branch, tried: HasRun | None) -> None:
        with self._moved:
            self._busy -= 1
            if tried is None:
                self._over = True
            else:
                self.search.record(branch, tried.run)
                self._over = not self.weigh(tried) or self._over
            self._moved.notify_all()
