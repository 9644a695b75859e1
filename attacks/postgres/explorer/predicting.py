"""Predict, force, prove: which anomalies the statements of requests allow, each seen alone.

Names and conditions follow Adya, "Weak Consistency" (1999), and Berenson et al., "A Critique of
ANSI SQL Isolation Levels" (1995). A prediction carries the one schedule that would prove it; that
the schedule was harmless refutes it for these requests and this state, and nothing more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

from attacks.postgres.explorer.run import Run, Taken
from attacks.postgres.footprint import Footprint

DEADLOCK_DETECTED = "40P01"
Alone = Sequence[Taken]
"""The parked steps of one request that ran with nobody beside it."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """An anomaly that could happen, why, and the order of choices that would show it."""

    anomaly: str
    because: str
    order: tuple[int, ...]

    def shown_by(self, run: Run, *, violated: bool) -> bool:
        """Whether a run of this order proves it: the harm was done, and by this anomaly."""
        if self.anomaly == "deadlock":
            return violated and any(t.reply.sqlstate == DEADLOCK_DETECTED for t in run.taken)
        return violated


def predict(alone: Sequence[Alone]) -> tuple[Prediction, ...]:
    """What each pair of these requests allows; each order once, the most telling first."""
    found: dict[tuple[int, ...], Prediction] = {}
    for rule in (_lost_update, _crossing_locks, _read_between, _between_commits):
        for one, other in permutations(range(len(alone)), 2):
            for prediction in rule(one, alone[one], other, alone[other]):
                found.setdefault(prediction.order, prediction)
    return tuple(found.values())


def _lost_update(one: int, mine: Alone, other: int, theirs: Alone) -> Iterator[Prediction]:
    """A read without a lock, then a write that relies on it; the other commits in between."""
    for position, taken in enumerate(mine):
        stale = _relied_on(mine[:position]) & _published(theirs)
        if not _written(taken.footprint) or not stale:
            continue
        relation = min(stale & taken.footprint.writes or stale)
        name = "lost update" if relation in taken.footprint.writes else "write skew"
        read_at = max(i for i in range(position) if relation in mine[i].footprint.reads)
        commits = any(step.footprint.ends for step in mine[read_at:position])
        apart = "check and effect are in different database transactions" if commits else ""
        yield Prediction(
            anomaly=name,
            because=f"{relation} is read without a lock before {_verb(taken)}"
            + (f", and {apart}" if apart else ""),
            order=_order(one, position, other, theirs),
        )
        return


def _crossing_locks(one: int, mine: Alone, other: int, theirs: Alone) -> Iterator[Prediction]:
    """Both lock rows of one table in more than one statement: the second can wait in a circle."""
    if other < one:
        return
    ours, others = _locking(mine), _locking(theirs)
    for relation in sorted(_relations(mine, ours) & _relations(theirs, others)):
        first = [i for i in ours if relation in mine[i].footprint.writes]
        second = [i for i in others if relation in theirs[i].footprint.writes]
        if len(first) > 1 and len(second) > 1:
            before = (one,) * (first[0] + 1) + (other,) * (second[0] + 1)
            yield Prediction(
                anomaly="deadlock",
                because=f"rows of {relation} are locked in more than one statement",
                order=(*before, one, other),
            )
            return


def _read_between(one: int, mine: Alone, other: int, theirs: Alone) -> Iterator[Prediction]:
    """Several reads of what the other commits, each with a snapshot of its own.

    Whoever writes it afterwards loses an update before that matters.
    """
    published = _published(theirs) - _published(mine)
    reads = [i for i, t in enumerate(mine) if t.footprint.reads & published]
    if len(reads) > 1 and all(mine[i].footprint.isolation == "read committed" for i in reads):
        yield Prediction(
            anomaly="read skew",
            because=f"{min(mine[reads[0]].footprint.reads & published)} is read in"
            f" {len(reads)} statements that each see another moment",
            order=_order(one, reads[1], other, theirs),
        )


def _between_commits(one: int, mine: Alone, other: int, theirs: Alone) -> Iterator[Prediction]:
    """More than one commit with writes: somebody can come in between."""
    commits = [i for i, t in enumerate(mine) if t.footprint.committed_writes]
    if len(commits) > 1:
        yield Prediction(
            anomaly="partial commit",
            because=f"one request commits {len(commits)} times",
            order=_order(one, commits[0] + 1, other, theirs),
        )


def _order(one: int, steps: int, other: int, theirs: Alone) -> tuple[int, ...]:
    """So many steps of one, all of the other, and then the rest."""
    return (one,) * steps + (other,) * len(theirs)


def _relied_on(steps: Alone) -> frozenset[str]:
    """What was read and neither locked nor written since."""
    read: frozenset[str] = frozenset()
    for taken in steps:
        read = (read | taken.footprint.reads) - taken.footprint.writes
    return read


def _published(steps: Alone) -> frozenset[str]:
    return frozenset().union(*(taken.footprint.committed_writes for taken in steps))


def _written(footprint: Footprint) -> bool:
    return bool(footprint.writes) or footprint.unknown


def _locking(steps: Alone) -> list[int]:
    return [i for i, taken in enumerate(steps) if taken.footprint.writes and not _over(taken)]


def _over(taken: Taken) -> bool:
    return taken.footprint.ends


def _relations(steps: Alone, positions: Sequence[int]) -> frozenset[str]:
    return frozenset().union(*(steps[i].footprint.writes for i in positions))


def _verb(taken: Taken) -> str:
    words = taken.step.sql.split()
    return f"the {words[0].upper()}" if words else "the write"
