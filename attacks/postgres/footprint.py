"""What one step touched, so that `dependence` can say which steps commute.

A footprint may say too much, never too little: whoever takes two dependent steps for independent
ones prunes a schedule that had to be tried. What cannot be said is `unknown`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

from attacks.postgres.grammar import UNLOCKS, Parsed, is_choice, parse, sql_key
from attacks.postgres.isolation import SessionIsolation
from attacks.postgres.learned_locks import LearnedLocks
from attacks.postgres.purity import Purity
from attacks.postgres.reach import Reach, ReachOf, united, unseen
from attacks.postgres.relations import (
    ADVISORY,
    OUTSIDE,
    UNRESOLVED,
    Isolation,
    Locks,
    as_isolation,
    is_pseudo,
    strongest,
)
from attacks.postgres.trace import Reply, Step, TransactionStatus

__all__ = [
    "ADVISORY",
    "OUTSIDE",
    "Footprint",
    "SessionFootprints",
    "nothing",
    "split",
    "together",
]

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


End = Literal["no", "committed", "rolled back", "to a savepoint"]

NO_LOCKS: Locks = frozenset()


@dataclass
class _Transaction:
    """What one database transaction did so far; an implicit one too."""

    explicit: bool = False
    snapshot: bool = False
    savepoint: bool = False
    """One was set: an error or ROLLBACK TO may give back only a part."""
    written: frozenset[str] = NOTHING
    held: Locks = NO_LOCKS
    """Measured, or expected from what was learned."""
    opaque: bool = False
    """It may hold what was neither parsed nor measured."""
    cursors: tuple[Parsed, ...] = ()
    learned_keys: frozenset[str] = NOTHING


class SessionFootprints:
    """Follows one session's database transaction and gives each step's footprint.

    `purity` says what a function does, `reach` what else a statement on a relation may touch (both:
    `observer.Observer`). Without `reach` a statement whose locks were not measured is unknown.
    """

    def __init__(
        self,
        purity: Callable[[str], Purity],
        default_isolation: str,
        *,
        reach: ReachOf = unseen,
        learned: LearnedLocks | None = None,
    ) -> None:
        self._purity = purity
        self._reach = reach
        self._learned = learned
        self._isolation = SessionIsolation(default_isolation)
        self._keeps_advisory = False
        self._transaction = _Transaction()

    @property
    def holds(self) -> frozenset[str]:
        """What the open transaction wrote or locked, and advisory locks that outlast it."""
        now = self._transaction
        kept = frozenset({ADVISORY} if self._keeps_advisory else ())
        # What cannot be said counts as something.
        opaque = frozenset({OUTSIDE} if now.opaque else ())
        return now.written | split(now.held).writes | kept | opaque

    def is_choice(self, step: Step) -> bool:
        """`grammar.is_choice` with everything that is known of this session."""
        now = self._transaction
        if step.kind == "sync":
            return not now.explicit and bool(self.holds)
        in_pipeline = now.explicit and step.status_before == "I"
        return is_choice(
            parse(step.sql),
            status="T" if in_pipeline else step.status_before,
            kind=step.kind,
            ends_with_sync=step.ends_with_sync,
            isolation=self._isolation.level,
            holds=self.holds,
            is_pure=lambda name: self._purity(name) == "pure",
        )

    def needs_measuring(self, step: Step) -> bool:
        """Whether `after` wants the locks of this step; without learned locks always."""
        return self._learned is None or self._learned.needs_measuring(self._key(step.sql))

    def verify(self, locks: Locks) -> bool:
        """At the parked end of a transaction. False: its steps did more than was learned.

        Then the footprints that they were given are too small and have to count as unknown.
        """
        now = self._transaction
        if self._learned is None or self._learned.verify(now.held, locks):
            return True
        self._learned.restart(now.learned_keys)
        now.held |= locks
        return False

    def after(
        self,
        step: Step,
        reply: Reply,
        locks: Locks | None,
        status_after: TransactionStatus | None,
    ) -> Footprint:
        """The footprint of a step that was answered.

        `locks`: what the session holds now; None when it was not measured. `status_after`: as
        ReadyForQuery said; None when the step was not followed by one.
        """
        parsed = self._as_run(step)
        succeeded = reply.sqlstate is None and not reply.lost
        if step.status_before == "E" and not succeeded and not reply.lost and _ends_none(parsed):
            return nothing()
        status = status_after if status_after is not None else reply.status
        now = self._transaction
        in_transaction = now.explicit
        self._isolation.follow(parsed, succeeded=succeeded, in_transaction=in_transaction)
        # Locks are gone when the transaction is: what is measured then says nothing.
        still_held = succeeded and status in ("T", None)
        touched = self._touched(step, parsed, locks if still_held else None, still_held=still_held)
        snapshot = parsed.takes_snapshot and not now.snapshot and self._has_one_snapshot
        now.snapshot |= snapshot
        now.written |= touched.writes
        now.savepoint |= "savepoint" in parsed.kinds
        footprint = replace(touched, isolation=self._isolation.level, takes_snapshot=snapshot)
        end = self._end(parsed, reply, status)
        if end != "no":
            footprint = self._ended(footprint, end)
        self._move_on(parsed, touched, status, end)
        return footprint

    def disconnected(self) -> Footprint:
        """The client has gone: PostgreSQL rolls back and gives every lock free."""
        footprint = Footprint(
            ends=True,
            released=self.holds,
            isolation=self._isolation.level,
            unknown=self._transaction.opaque,
        )
        self._keeps_advisory = False
        self._transaction = _Transaction()
        self._isolation.transaction_over(committed=False, chained=False)
        return footprint

    @property
    def _has_one_snapshot(self) -> bool:
        return self._isolation.level != "read committed"

    def _key(self, sql: str) -> str:
        return f"{self._isolation.level} {sql_key(sql)}"

    def _as_run(self, step: Step) -> Parsed:
        """The parsed text, with only that part of it that this step executes."""
        if step.kind == "sync":
            return Parsed(kind="sync", kinds=("empty",))
        if step.kind == "call" or (step.kind == "copy" and not step.sql):
            return Parsed(kind="unknown", kinds=("unknown",), unknown=True)
        parsed = parse(step.sql)
        if step.kind == "prepare":
            return Parsed(kind="prepare", kinds=("prepare" if parsed.takes_snapshot else "empty",))
        now = self._transaction
        if parsed.kind == "declare":
            now.cursors = (*now.cursors, parsed)
        return _of_cursors(parsed, now.cursors) if parsed.kind == "fetch" else parsed

    def _touched(
        self, step: Step, parsed: Parsed, locks: Locks | None, *, still_held: bool
    ) -> Footprint:
        """Text, functions, catalogs and locks together."""
        named = self._named(parsed)
        aside = self._aside(parsed, named)
        now = self._transaction
        growth = self._growth(step.sql, locks) if still_held else None
        if growth is None:
            footprint = together(named, Footprint(reads=aside.reads, writes=aside.writes))
            footprint = replace(footprint, unknown=named.unknown or aside.code != "none")
            now.opaque |= footprint.unknown
        else:
            footprint = together(named, split(growth | _again(aside, now.held)))
            footprint = replace(footprint, unknown=footprint.unknown or aside.code == "unknown")
        self._follow_advisory(parsed, locks, unknown=footprint.unknown)
        return footprint

    def _growth(self, sql: str, locks: Locks | None) -> Locks | None:
        """The locks that the step has gained, measured or as it was learned; None: not known."""
        now = self._transaction
        if any(mode == "SIReadLock" for _, mode in locks or ()):
            self._isolation.prove_serializable()
        key = self._key(sql)
        if locks is not None:
            growth = locks - now.held
            if self._learned is not None:
                self._learned.learn(key, growth)
                now.learned_keys |= {key}
            now.held, now.opaque = locks, False
            return growth
        if self._learned is None or self._learned.needs_measuring(key):
            return None
        now.learned_keys |= {key}
        now.held |= self._learned.known(key)
        return self._learned.known(key)

    def _named(self, parsed: Parsed) -> Footprint:
        """What the text and the functions that it calls say."""
        writes, unknown = parsed.writes, parsed.unknown
        for name in parsed.functions:
            match self._purity(name):
                case "pure":
                    pass
                case "advisory":
                    writes |= {ADVISORY}
                case "outside":
                    writes |= {OUTSIDE}
                case _:
                    # A sequence whose name is computed is as unknown as a user's function.
                    unknown = True
        if "discard" in parsed.kinds and self._keeps_advisory:
            writes |= {ADVISORY}
        if "set constraints" in parsed.kinds:
            due = self._deferred(self.holds)
            writes, unknown = writes | due.writes, unknown or due.unknown
        return Footprint(reads=parsed.reads, writes=writes, unknown=unknown)

    def _aside(self, parsed: Parsed, named: Footprint) -> Reach:
        """What the catalogs add to the relations that the text names."""
        return united(
            [self._reach(name, "read", None) for name in named.reads if not is_pseudo(name)]
            + [
                self._reach(name, parsed.access, parsed.columns)
                for name in parsed.writes
                if not is_pseudo(name)
            ]
        )

    def _deferred(self, written: frozenset[str]) -> Footprint:
        """What the constraints may touch that are checked when the transaction commits."""
        due = [self._reach(name, "change", None) for name in written if not is_pseudo(name)]
        found = united([reach for reach in due if reach.deferred is not None])
        unknown = any(reach.deferred not in (None, "none") for reach in due)
        inherited = written if found.deferred is not None else NOTHING
        return Footprint(reads=found.reads, writes=found.writes | inherited, unknown=unknown)

    def _follow_advisory(self, parsed: Parsed, locks: Locks | None, *, unknown: bool) -> None:
        """Session-level advisory locks outlast the transaction."""
        if locks is not None:
            self._keeps_advisory &= ADVISORY in {name for name, _ in locks}
        if locks is None or (ADVISORY in {name for name, _ in locks}):
            of_session = any("advisory" in name and "xact" not in name for name in parsed.functions)
            self._keeps_advisory |= of_session or unknown
        if parsed.functions & UNLOCKS or "discard" in parsed.kinds:
            self._keeps_advisory = False

    def _end(self, parsed: Parsed, reply: Reply, status: TransactionStatus | None) -> End:
        now = self._transaction
        if reply.lost:
            may_commit = "commit" in parsed.kinds or not now.explicit
            return "committed" if may_commit else "rolled back"
        if reply.sqlstate is not None:
            # A text of several statements may have committed before it failed.
            return "committed" if "commit" in parsed.kinds[:-1] else "rolled back"
        if not _ends_none(parsed):
            if "commit" in parsed.kinds and not (parsed.kind == "commit" and _refused(reply)):
                return "committed"
            return "to a savepoint" if parsed.kinds == ("rollback to",) else "rolled back"
        if status == "I" and (now.explicit or self._did_something()):
            return "rolled back" if _refused(reply) else "committed"
        return "no"

    def _did_something(self) -> bool:
        return bool(self._transaction.written) or self._transaction.opaque

    def _ended(self, footprint: Footprint, end: End) -> Footprint:
        released = self.holds | footprint.writes
        committed = released if end == "committed" else NOTHING
        due = self._deferred(released) if committed else nothing()
        whole = together(footprint, due)
        return replace(
            whole,
            ends=True,
            unknown=whole.unknown or self._transaction.opaque,
            released=released,
            committed_writes=committed,
        )

    def _move_on(
        self, parsed: Parsed, touched: Footprint, status: TransactionStatus | None, end: End
    ) -> None:
        now = self._transaction
        explicit = _explicit_after(parsed, status, before=now.explicit)
        implicit_is_over = end == "no" and status == "I"
        in_part = end == "to a savepoint" or (now.savepoint and status == "E")
        if (end == "no" and not implicit_is_over) or in_part:
            now.explicit = explicit
            return
        self._transaction = _Transaction(explicit=explicit)
        if explicit and parsed.kind == "several":
            # Which of the statements belong to the new transaction is not asked.
            self._transaction.written = touched.writes
            self._transaction.opaque = touched.unknown
        chained = parsed.chain or (explicit and parsed.kind == "several")
        self._isolation.transaction_over(committed=end != "rolled back", chained=chained)


def _again(aside: Reach, held: Locks) -> Locks:
    """Locks from earlier statements that this one may have used: they do not grow anew."""
    if aside.code != "none":
        return held
    return frozenset(
        (name, mode)
        for name, mode in held
        if name in aside.writes or (name in aside.reads and mode == "AccessShareLock")
    )


def _of_cursors(fetch: Parsed, cursors: tuple[Parsed, ...]) -> Parsed:
    """FETCH runs the query of a cursor: any that this transaction has declared."""
    return replace(
        fetch,
        reads=NOTHING.union(*(cursor.reads for cursor in cursors)),
        writes=NOTHING.union(*(cursor.writes for cursor in cursors)),
        functions=NOTHING.union(*(cursor.functions for cursor in cursors)),
        unknown=not cursors or any(cursor.unknown for cursor in cursors),
    )


def _ends_none(parsed: Parsed) -> bool:
    return not {"commit", "rollback", "rollback to"} & set(parsed.kinds)


def _refused(reply: Reply) -> bool:
    """COMMIT of a failed transaction is answered ROLLBACK."""
    return reply.tag == "ROLLBACK"


def _explicit_after(parsed: Parsed, status: TransactionStatus | None, *, before: bool) -> bool:
    """Whether a BEGIN is open. In a pipeline only the texts tell."""
    if status is not None:
        return status != "I"
    for kind in reversed(parsed.kinds):
        if kind == "begin":
            return True
        if kind in ("commit", "rollback"):
            return parsed.chain
    return before
