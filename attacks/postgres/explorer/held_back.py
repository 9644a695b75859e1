"""Keeping racers at a row that somebody else holds until each of them has come.

Requests of one statement each cannot be interleaved from outside: released one at a time they run
one after the other. Held back at a row they are all in the middle of their statements when it is
let go, and PostgreSQL takes them on in the order in which they came.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from attacks.postgres.explorer.forcing import Waits
from attacks.postgres.explorer.run import Choose, Pending
from attacks.postgres.footprint import Footprint


class Holder(Protocol):
    """A session that holds locks."""

    @property
    def pid(self) -> int: ...

    def release(self) -> None: ...


@dataclass(kw_only=True)
class HeldBack:
    """Around one schedule: what is asked of PostgreSQL knows the holder, who lets go in time."""

    waits: Waits
    holder: Holder
    racers: int
    outside: Callable[[], Footprint]
    _arrived: set[int] = field(default_factory=set)
    _looks: int = 0
    """At what the service did outside, since the last racer was chosen: before its step and after
    it. By then it waits, or it has passed by."""

    def choosing(self, choose: Choose) -> Choose:
        def noted(
            position: int, enabled: Sequence[Pending], before: Footprint | None
        ) -> int | None:
            racer = choose(position, enabled, before)
            if racer is not None:
                self._arrived.add(racer)
            return racer

        return noted

    def look_outside(self) -> Footprint:
        if len(self._arrived) == self.racers:
            self._looks += 1
            if self._looks == 2:
                self.holder.release()
        return self.outside()

    def blocked(self, pid: int, pids: Sequence[int]) -> bool:
        return self.waits.blocked(pid, [*pids, self.holder.pid])

    def blockers(self, pid: int) -> tuple[int, ...]:
        return self.waits.blockers(pid)

    def xid(self, pid: int) -> int | None:
        return self.waits.xid(pid)

    def terminate(self, pid: int) -> None:
        self.waits.terminate(pid)
