"""What a step touched, as a plain value, and how two of them unite."""

from dataclasses import dataclass
from functools import reduce

from attacks.postgres.relations import UNRESOLVED, Isolation, Locks, as_isolation, strongest
from attacks.postgres.rows import NO_ROWS, Rows, in_both

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Of one step. Relations as `relations.relation_name` writes them."""

    reads: frozenset[str] = NOTHING
    writes: frozenset[str] = NOTHING
    """Possibly written or row-locked; also sequences, ADVISORY and OUTSIDE."""
    unknown: bool = False
    """Nothing can be said."""
    ends: bool = False
    """It ended a database transaction, or gave up some of its locks."""
    released: frozenset[str] = NOTHING
    """When it ends one: everything that transaction wrote or locked."""
    committed_writes: frozenset[str] = NOTHING
    """What it made visible to others; empty for a rollback."""
    isolation: Isolation = "read committed"
    takes_snapshot: bool = False
    """It took the one snapshot of a transaction at repeatable read or above."""
    rows: Rows = NO_ROWS
    """Of these relations nothing but these rows; when it ends a transaction, of all of that."""

    @property
    def touches(self) -> frozenset[str]:
        return self.reads | self.writes | self.released | self.committed_writes


def nothing() -> Footprint:
    """Of a step that no other session could see."""
    return Footprint()


def together(one: Footprint, other: Footprint) -> Footprint:
    """Of two steps that are released as one, such as a COMMIT and the statements it wakes."""
    return Footprint(
        reads=one.reads | other.reads,
        writes=one.writes | other.writes,
        unknown=one.unknown or other.unknown,
        ends=one.ends or other.ends,
        released=one.released | other.released,
        committed_writes=one.committed_writes | other.committed_writes,
        isolation=as_isolation(strongest(one.isolation, other.isolation)),
        takes_snapshot=one.takes_snapshot or other.takes_snapshot,
        rows=in_both(one.rows, one.touches, other.rows, other.touches),
    )


def split(locks: Locks) -> Footprint:
    """The reads and writes that locks prove.

    AccessShare is a plain read. RowShare (SELECT … FOR UPDATE), RowExclusive and everything
    stronger count as writes. AccessExclusive makes plain reads wait, which no rule of `dependence`
    expects: unknown.
    """
    return reduce(together, map(_of_lock, locks), nothing())


def _of_lock(lock: tuple[str, str]) -> Footprint:
    name, mode = lock
    if mode == "SIReadLock":
        return nothing()
    if mode == "AccessShareLock":
        return Footprint(reads=frozenset({name}), unknown=name.startswith(UNRESOLVED))
    shuts_out = mode == "AccessExclusiveLock" or name.startswith(UNRESOLVED)
    return Footprint(writes=frozenset({name}), unknown=shuts_out)
