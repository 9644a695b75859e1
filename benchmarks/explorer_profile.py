"""Where the time of a schedule goes: self times of the explorer's parts, for explorer.py.

The explorer works in one thread, so that a stack of clocks is enough: what a part calls that has a
clock of its own is not counted twice.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from attacks.postgres.checkpoint import Checkpoint
from attacks.postgres.explorer.accounts import Accounts
from attacks.postgres.explorer.forcing import Forcing
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.observer import Observer
from benchmarks.figures import row, table
from scenarios.ground import Ground

PARTS: tuple[tuple[type, str, str], ...] = (
    (Checkpoint, "restore", "restore the database"),
    (Ground, "judged", "judge"),
    (RaceTrack, "force", "force"),
    (Forcing, "_admit", "admit: start the threads"),
    (Forcing, "_settle", "wait for the client's next statement or answer"),
    (Forcing, "_answered_or_blocked", "wait for PostgreSQL's replies"),
    (Forcing, "_let_deadlock_checks_pass", "wait for the deadlock check"),
    (Accounts, "after", "footprints"),
    (Observer, "blocked", "ask whether a session is blocked"),
    (Observer, "blockers", "ask whether a session is blocked"),
    (Observer, "locks", "read locks"),
)
"""What is timed: class, method, and what the table calls it."""


@dataclass
class Clock:
    """Self time and calls of each part."""

    self_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: Counter[str] = field(default_factory=Counter)
    _inner_s: list[float] = field(default_factory=lambda: [0.0])

    def timed(self, part: str, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*positional: Any, **named: Any) -> Any:
            self._inner_s.append(0.0)
            began_s = time.perf_counter()
            try:
                return call(*positional, **named)
            finally:
                took_s = time.perf_counter() - began_s
                self.self_s[part] += took_s - self._inner_s.pop()
                self._inner_s[-1] += took_s
                self.counts[name] += 1

        return clocked


@contextmanager
def profiled(ground: Ground | None = None) -> Iterator[Clock]:
    """Put clocks on the parts; they are taken off again."""
    clock = Clock()
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in PARTS]
    for owner, name, part in PARTS:
        setattr(owner, name, clock.timed(part, name, getattr(owner, name)))
    if ground is not None:
        truth, forget = ground.read_truth, ground.forget
        ground.read_truth = clock.timed("read the truth", "read_truth", truth)
        ground.forget = clock.timed("forget what is in Redis", "forget", forget)
    try:
        yield clock
    finally:
        if ground is not None:
            ground.read_truth, ground.forget = truth, forget
        for owner, name, original in originals:
            setattr(owner, name, original)


def print_profile(clock: Clock, schedules: int, took_s: float, title: str) -> None:
    """Per schedule; "the rest" is the search itself and setting up."""
    print(f"## One schedule ({title}): {took_s / schedules * 1000:.1f} ms of {schedules}")
    print()
    table("part", "ms", "share")
    parts = dict(clock.self_s)
    parts["force: the rest"] = parts.pop("force", 0.0)
    parts["the rest"] = took_s - sum(parts.values())
    for part, self_s in sorted(parts.items(), key=lambda item: -item[1]):
        row(part, f"{self_s / schedules * 1000:.2f}", f"{self_s / took_s:.0%}")
    print()
