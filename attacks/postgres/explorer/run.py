"""What one forced schedule was like: plain values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from attacks.postgres.footprint import Footprint, nothing, together
from attacks.postgres.relations import has_advisory
from attacks.postgres.trace import Reply, Step

WAITING = "<waits for a lock>"
"""In the writes of every choice whose step had to wait: who waits last is a deadlock's victim."""

Racer = Callable[[], Any]
"""One request: sends it, waits for its answer and returns it. Called in a thread of its own."""


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A racer's next step, which waits at the proxy for its release."""

    racer: int
    step: Step


Choose = Callable[[int, Sequence[Pending], Footprint | None], int | None]
"""Given the number of choices made so far, what is parked, and the footprint of the choice before:
the racer that goes next. None gives the schedule up: what is left runs on, uncontrolled.
"""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One step of a run, in the order of release. Ticks count releases and completions."""

    racer: int
    step: Step
    reply: Reply
    choice: int | None
    """The position of the choice that released it; None when it was forwarded at once."""
    began: int
    ended: int
    """More than `began` + 1 when others moved while it waited for a lock."""
    waited_for: tuple[int, ...] = ()
    """Racers that held the lock it waited for."""
    footprint: Footprint
    held_s: float = 0.0
    """How long the step was kept at the proxy before its release."""
    took_s: float = 0.0
    """From its release to its reply."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A moment at which the explorer decided."""

    racer: int
    enabled: tuple[int, ...]
    footprint: Footprint
    """Of everything that this release brought about, up to the next choice."""


def brought_about(
    position: int, completed: Sequence[tuple[Taken, int]], waiting: Sequence[int]
) -> Footprint:
    """The footprint of the choice at this position.

    `completed`: each step that has its reply, and the last choice before that reply. `waiting`: the
    choices whose steps wait for a lock still. A step that waits counts where it began, where it was
    let go, and at every end of a transaction in between: there it may have come as far as its next
    lock. Nobody knows what it will have touched before it has its reply.
    """
    whole = between = nothing()
    for taken, last in completed:
        if position in (taken.choice, last):
            whole = together(whole, taken.footprint)
        elif taken.choice is not None and taken.choice < position < last:
            between = together(between, taken.footprint)
        if taken.choice == position < last:
            whole = together(whole, Footprint(writes=frozenset({WAITING})))
    if position in waiting:
        return replace(whole, unknown=True)
    if not whole.ends and not has_advisory(whole.writes):  # An unlock ends nothing.
        return whole
    unsaid = any(choice < position for choice in waiting)
    return together(together(whole, between), Footprint(unknown=unsaid))


@dataclass(frozen=True, kw_only=True)
class Struck:
    """A fault that struck, and the database transaction that it struck."""

    position: int
    """Of the choice, from 0."""
    racer: int
    step: Step
    fault: str
    xid: int | None
    """None when the transaction had written nothing so far."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One schedule, from the admission of the racers to their last answer."""

    choices: tuple[Choice, ...]
    taken: tuple[Taken, ...]
    results: tuple[Any, ...]
    """What each racer returned; the exception it raised; None if it did not end."""
    uncontrolled: tuple[str, ...] = ()
    """Waits that the proxy could not see, a sentence each: they forbid `exhausted`."""
    gave_up: bool = False
    """The chooser ended it early: what followed is no schedule of its own."""
    unfinished: tuple[int, ...] = ()
    """Racers that had not ended within the bound."""
    struck: Struck | None = None
    duration_s: float = 0.0

    @property
    def order(self) -> tuple[int, ...]:
        return tuple(choice.racer for choice in self.choices)

    @property
    def was_free(self) -> bool:
        """Somewhere two racers could have gone next."""
        return any(len(choice.enabled) > 1 for choice in self.choices)

    @property
    def overlapped(self) -> bool:
        """Somewhere two racers were in the middle of their steps at once, or of one step each."""
        begun: set[int] = set()
        left = {racer: self.order.count(racer) for racer in self.order}
        for racer in self.order:
            if any(other != racer and left[other] for other in begun):
                return True
            begun.add(racer)
            left[racer] -= 1
        chosen = [taken for taken in self.taken if taken.choice is not None]
        return any(
            a.racer != b.racer and a.began < b.began < a.ended for a, b in combinations(chosen, 2)
        )

    @property
    def preemptions(self) -> int:
        """Switches away from a racer that could have gone on."""
        pairs = zip(self.choices, self.choices[1:], strict=False)
        return sum(a.racer != b.racer and a.racer in b.enabled for a, b in pairs)
