"""Whether the order of two steps of different sessions can matter.

The five rules, each with its reason. A pair that is not dependent commutes: both orders lead to the
same state, and neither enables nor disables the other.
"""

from attacks.postgres.footprint import Footprint
from attacks.postgres.relations import overlap
from attacks.postgres.rows import apart

Names = frozenset[str]


def dependent(one: Footprint, other: Footprint) -> bool:
    """Symmetric, and never undone by a larger footprint."""
    return (
        one.unknown
        or other.unknown
        or _serializable(one, other)
        or _meet(one, one.writes, other, other.writes)
        or _end_is_noticed(one, other)
        or _end_is_noticed(other, one)
        or _snapshot_misses(one, other)
        or _snapshot_misses(other, one)
    )


def _serializable(one: Footprint, other: Footprint) -> bool:
    """There a read locks too (SIRead), on pages and gaps, and a commit may fail because of it."""
    return "serializable" in (one.isolation, other.isolation)


def _end_is_noticed(ending: Footprint, other: Footprint) -> bool:
    """A statement sees, waits for or fails on what was written or locked; then that is over."""
    if not ending.ends:
        return False
    freed = ending.released | ending.committed_writes
    return _meet(ending, freed, other, other.reads) or _meet(ending, freed, other, other.writes)


def _meet(one: Footprint, mine: Names, other: Footprint, theirs: Names) -> bool:
    """Whether these relations of both may be the same, and rows of theirs, too."""
    if not overlap(mine, theirs):
        return False
    different = apart(one.rows, other.rows)
    if not different:
        return True
    return overlap(mine - different, theirs) or overlap(mine & different, theirs - different)


def _snapshot_misses(reader: Footprint, ending: Footprint) -> bool:
    """At repeatable read the first snapshot decides which commits the transaction will ever see.

    Whatever the table: what it will read later is not known yet.
    """
    return (
        reader.takes_snapshot
        and reader.isolation != "read committed"
        and ending.ends
        and bool(ending.committed_writes)
    )
