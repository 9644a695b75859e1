"""Overlap for requests of one statement each, which no order of statements brings about.

A side session holds a row, or keeps a table from being written, until every request has come, and
then lets go: in each order of arrival. Held at a row they wait before they decide; held at a write
they have decided. What they do then they do at once, as far as their own locks allow.
"""

from collections.abc import Sequence
from itertools import islice, permutations, product
from typing import Any, Protocol

from attacks.postgres.explorer.choosing import following
from attacks.postgres.explorer.exploring import MOST_SERIAL, Explored, Tried
from attacks.postgres.explorer.run import Choose
from attacks.postgres.grammar import parse

ONE_STATEMENT = (
    "a whole movement is one statement: what happens within it was forced by holding locks only"
)
REPRODUCTIONS = 10
Lock = tuple[str, Sequence[Any]]
"""SQL that takes it, and its parameters."""


class TryHeld(Protocol):
    """Tries one order of arrival while the lock of this number is held."""

    def __call__(self, choose: Choose, *, held: int) -> Tried: ...


def lacks_overlap(explored: Explored, racers: int) -> bool:
    """The search has found nothing, and no two requests were ever under way at once, or one of
    them calls a procedure, within which the others were never seen."""
    searched = explored.losing is None and all(explored.alone)
    return racers > 1 and searched and (not explored.overlapped or _calls(explored))


def _calls(explored: Explored) -> bool:
    taken = explored.serial.run.taken if explored.serial else ()
    return any("call" in parse(step.step.sql).kinds for step in taken)


def force_overlap(explored: Explored, attempt: TryHeld, *, racers: int, locks: int) -> None:
    """Adds to what the search came to. Ends at the first violation."""
    orders = islice(permutations(range(racers)), MOST_SERIAL)
    for held, order in product(range(locks), list(orders)):
        tried = attempt(following(order), held=held)
        if not tried.run.overlapped:
            continue  # Nobody waited for that lock: a serial order, which was tried.
        for reason in tried.run.uncontrolled:
            explored.doubt(reason)
        explored.explored += 1
        explored.overlapped += 1
        explored.uncontrolled += bool(tried.run.uncontrolled)
        if tried.violations:
            explored.violated += 1
            explored.losing, explored.first_violation = tried, explored.explored
            again = [attempt(following(order), held=held) for _ in range(REPRODUCTIONS)]
            explored.reproduced = (sum(bool(t.violations) for t in again), REPRODUCTIONS)
            break
    explored.exhausted = False
    explored.doubt(ONE_STATEMENT)
