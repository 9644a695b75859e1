"""What each step of a session touched, so that `dependence` can say which steps commute.

A footprint may say too much, never too little: whoever takes two dependent steps for independent
ones prunes a schedule that had to be tried. What cannot be said is `unknown`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from attacks.postgres.grammar import UNLOCKS, Parsed, is_choice, parse
from attacks.postgres.isolation import SessionIsolation, isolation_of_start
from attacks.postgres.purity import Purity
from attacks.postgres.reach import ReachOf, unseen
from attacks.postgres.relations import ADVISORY, OUTSIDE, Locks, has_advisory
from attacks.postgres.rows import NO_ROWS, KeyOf, Rows, in_both, no_key
from attacks.postgres.statement_footprint import Known, Sources, measured, of_cursors
from attacks.postgres.touched import NOTHING, Footprint, nothing, split, together
from attacks.postgres.trace import Reply, Step, TransactionStatus

__all__ = [
    "ADVISORY",
    "OUTSIDE",
    "Footprint",
    "SessionFootprints",
    "isolation_of_start",
    "nothing",
    "split",
    "together",
]

End = Literal["no", "committed", "rolled back", "to a savepoint"]

NO_LOCKS: Locks = frozenset()
ENDINGS = frozenset({"commit", "rollback", "rollback to"})


@dataclass
class _Transaction:
    """What one database transaction did so far; an implicit one too."""

    explicit: bool = False
    snapshot: bool = False
    savepoint: bool = False
    """One was set: an error or ROLLBACK TO may give back only a part."""
    written: frozenset[str] = NOTHING
    rows: Rows = NO_ROWS
    """Of these relations no other rows were written."""
    held: Locks = NO_LOCKS
    """As measured."""
    opaque: bool = False
    """It may hold what was neither parsed nor measured."""
    cursors: tuple[Parsed, ...] = ()


class SessionFootprints:
    """Follows one session's database transaction and gives each step's footprint.

    It has to be given every step of the session, from its first one on, also those that were
    forwarded at once: what it does not see may have set the isolation level or taken an advisory
    lock for the session. `missed_steps` tells; then no search may be called exhausted.

    `purity` says what a function does, `reach` what else a statement on a relation may touch,
    `row_key` how rows of a table are told apart (all three: `observer.Observer`). With `reach`,
    locks need to be measured only where user code runs along. Without it a statement is unknown
    whose locks were not measured.
    """

    def __init__(
        self,
        purity: Callable[[str], Purity],
        default_isolation: str,
        *,
        reach: ReachOf = unseen,
        row_key: KeyOf = no_key,
    ) -> None:
        self._sources = Sources(purity=purity, reach=reach, row_key=row_key)
        self._isolation = SessionIsolation(default_isolation)
        self._keeps_advisory = False
        self._transaction = _Transaction()
        self.missed_steps = False
        self._number = 0
        self._arrived = 0

    @property
    def holds(self) -> frozenset[str]:
        """What the session wrote or locked and has not given free: also beyond transactions."""
        kept = frozenset({ADVISORY} if self._keeps_advisory else ())
        return self._held_by_transaction | kept

    @property
    def _held_by_transaction(self) -> frozenset[str]:
        now = self._transaction
        # What cannot be said counts as something.
        opaque = frozenset({OUTSIDE} if now.opaque else ())
        return now.written | split(now.held).writes | opaque

    def is_choice(self, step: Step) -> bool:
        """`grammar.is_choice` with everything that is known of this session."""
        self.missed_steps |= step.number > max(self._number, self._arrived) + 1
        self._arrived = step.number
        now = self._transaction
        if step.kind == "sync":
            return not now.explicit and bool(self._held_by_transaction)
        parsed = parse(step.sql)
        self._isolation.announce(parsed)
        return is_choice(
            parsed,
            status="T" if now.explicit and step.status_before == "I" else step.status_before,
            kind=step.kind,
            ends_with_sync=step.ends_with_sync,
            isolation=self._isolation.level_at_most,
            # A rollback does not give session-level advisory locks free.
            holds=self._held_by_transaction if parsed.kind == "rollback" else self.holds,
            is_pure=lambda name: self._sources.purity(name) == "pure",
        )

    def needs_measuring(self, step: Step) -> bool:
        """Whether `after` has use for the locks that the session holds after this step."""
        known = self._sources.of(self._as_run(step)).unmeasured
        return known.unknown or ADVISORY in known.writes

    def after(
        self,
        step: Step,
        reply: Reply,
        locks: Locks | None,
        status_after: TransactionStatus | None,
    ) -> Footprint:
        """The footprint of a step that was answered.

        `locks`: what the session holds now; None when it was not measured. `status_after`: as
        ReadyForQuery said; None when the step was not followed by one. A lost connection may have
        committed: it counts as if it had.
        """
        self._notice_gap(step)
        self._number = step.number
        parsed = self._as_run(step)
        succeeded = reply.sqlstate is None and not reply.lost
        if step.status_before == "E" and reply.sqlstate and _goes_on(parsed):
            return nothing()
        status = status_after if status_after is not None else reply.status
        now = self._transaction
        self._isolation.follow(parsed, succeeded=succeeded, in_transaction=now.explicit)
        # Locks are gone when the transaction is: what is measured then says nothing.
        still_held = succeeded and status in ("T", None)
        if parsed.kind == "declare":
            now.cursors = (*now.cursors, parsed)
        touched = self._touched(step, parsed, reply, locks if still_held else None)
        snapshot = self._takes_snapshot(parsed)
        now.snapshot |= snapshot
        now.rows = in_both(now.rows, now.written, touched.rows, touched.writes)
        now.written |= touched.writes
        now.savepoint |= "savepoint" in parsed.kinds
        footprint = replace(touched, isolation=self._isolation.level, takes_snapshot=snapshot)
        end = self._end(parsed, reply, status)
        if end != "no":
            footprint = self._ended(footprint, end)
        self._move_on(parsed, touched, "I" if reply.lost else status, end)
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

    def _notice_gap(self, step: Step) -> None:
        """Steps that nobody reported, or a transaction that ended or began among them."""
        if step.number > self._number + 1:
            self.missed_steps = True
            if step.status_before == "I":
                self._transaction = _Transaction()
                self._isolation.transaction_over(committed=False, chained=False)
        if step.status_before != "I" and not self._transaction.explicit:
            self._transaction = _Transaction(explicit=True, opaque=True, savepoint=True)

    def _takes_snapshot(self, parsed: Parsed) -> bool:
        one_for_all = self._isolation.level != "read committed"
        return parsed.takes_snapshot and one_for_all and not self._transaction.snapshot

    def _as_run(self, step: Step) -> Parsed:
        """The parsed text, with only that part of it that this step executes."""
        if step.kind == "sync":
            return Parsed(kind="sync", kinds=("empty",))
        if step.kind == "call" or (step.kind == "copy" and not step.sql):
            return Parsed(kind="unknown", kinds=("unknown",), unknown=True)
        parsed = parse(step.sql)
        if step.kind == "prepare":
            return Parsed(kind="prepare", kinds=("prepare" if parsed.takes_snapshot else "empty",))
        return of_cursors(parsed, self._transaction.cursors) if parsed.kind == "fetch" else parsed

    def _touched(self, step: Step, parsed: Parsed, reply: Reply, locks: Locks | None) -> Footprint:
        """Text, functions, catalogs and locks together."""
        known = self._sources.of(parsed)
        whole, aside = known.unmeasured, known.aside
        if locks is not None:
            growth = self._growth(locks)
            named = known.named
            if _took_one_advisory_lock(step, parsed, reply, growth):
                named = replace(named, writes=named.writes - {ADVISORY})
            whole = measured(named, aside, growth, locks)
        else:
            self._transaction.opaque |= whole.unknown
        if "discard" in parsed.kinds and self._keeps_advisory:
            whole = together(whole, Footprint(writes=frozenset({ADVISORY})))
        if "set constraints" in parsed.kinds:
            whole = together(whole, self._sources.deferred(self._held_by_transaction))
        self._follow_advisory(parsed, known, locks)
        return whole

    def _growth(self, locks: Locks) -> Locks:
        """The locks that the step has gained."""
        now = self._transaction
        if any(mode == "SIReadLock" for _, mode in locks):
            self._isolation.prove_serializable()
        growth = locks - now.held
        now.held, now.opaque = locks, False
        return growth

    def _follow_advisory(self, parsed: Parsed, known: Known, locks: Locks | None) -> None:
        """Session-level advisory locks outlast the transaction."""
        unlocked = bool(parsed.functions & UNLOCKS) or "discard" in parsed.kinds
        if unlocked or (
            locks is not None and not has_advisory(frozenset(name for name, _ in locks))
        ):
            self._keeps_advisory = False
        else:
            self._keeps_advisory |= known.may_lock_for_session

    def _end(self, parsed: Parsed, reply: Reply, status: TransactionStatus | None) -> End:
        now = self._transaction
        if reply.lost:
            may_commit = "commit" in parsed.kinds or not now.explicit
            return "committed" if may_commit else "rolled back"
        if reply.sqlstate is not None:
            # A text of several statements may have committed before it failed.
            return "committed" if "commit" in parsed.kinds[:-1] else "rolled back"
        refused = reply.tag == "ROLLBACK"  # So PostgreSQL answers COMMIT when it had failed.
        if not _goes_on(parsed):
            if "commit" in parsed.kinds and not (parsed.kind == "commit" and refused):
                return "committed"
            return "to a savepoint" if parsed.kinds == ("rollback to",) else "rolled back"
        if status == "I" and (now.explicit or now.written or now.opaque):
            return "rolled back" if refused else "committed"
        return "no"

    def _ended(self, footprint: Footprint, end: End) -> Footprint:
        released = self._held_by_transaction | footprint.writes
        committed = released if end == "committed" else NOTHING
        due = self._sources.deferred(released) if committed else nothing()
        # Notifications are delivered by the commit, in the order of the commits.
        told = Footprint(writes=committed & {OUTSIDE})
        whole = together(together(footprint, due), told)
        return replace(
            whole,
            ends=True,
            unknown=whole.unknown or self._transaction.opaque,
            released=released,
            committed_writes=committed,
            rows=in_both(whole.rows, whole.touches, self._transaction.rows, released),
        )

    def _move_on(
        self, parsed: Parsed, touched: Footprint, status: TransactionStatus | None, end: End
    ) -> None:
        """To the next transaction, or on in this one."""
        now = self._transaction
        explicit = _explicit_after(parsed, status, before=now.explicit)
        in_part = end == "to a savepoint" or (now.savepoint and status == "E")
        if in_part or (end == "no" and status != "I"):
            now.explicit = explicit
            return
        anew = _Transaction(explicit=explicit)
        several = explicit and parsed.kind == "several"
        if several:
            # Which of the statements belong to the new transaction is not asked.
            anew.written, anew.opaque = touched.writes, touched.unknown
            anew.savepoint, anew.cursors = now.savepoint, now.cursors
        self._transaction = anew
        self._isolation.transaction_over(
            committed=end != "rolled back", chained=parsed.chain or several
        )


def _took_one_advisory_lock(step: Step, parsed: Parsed, reply: Reply, growth: Locks) -> bool:
    """Whether the one lock that it asked for is the one that it gained.

    A lock that was refused, or held before, does not show: then nobody knows which one was meant.
    """
    gained = [name for name, _ in growth if has_advisory(frozenset({name}))]
    asked_once = step.sql.lower().count("advisory") == 1 and not parsed.reads
    return asked_once and len(gained) == 1 and (reply.row_count, len(reply.columns)) == (1, 1)


def _goes_on(parsed: Parsed) -> bool:
    return ENDINGS.isdisjoint(parsed.kinds)


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
