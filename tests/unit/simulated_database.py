"""A database small enough to be certain of: what the search is tested against without PostgreSQL.

Sessions run programs of a few operations under forced choices. Rows are locked until the
transaction ends, whoever asks waits in a queue, and who closes a circle of waits is its victim. A
statement sees the snapshot of its beginning (at repeatable read: of the transaction's), and once it
has its locks it writes over the newest value. Footprints say exactly what was touched.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from attacks.postgres.explorer.run import Choice, Choose, Pending, Run, Taken, brought_about
from attacks.postgres.footprint import Footprint, nothing, together
from attacks.postgres.relations import Isolation
from attacks.postgres.trace import Reply, Step

Kind = Literal["read", "lock", "try lock", "write", "unlock", "commit", "rollback"]
ENDS = ("commit", "rollback")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One statement. `rows` are read, or locked in this order (and written)."""

    kind: Kind
    rows: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    """What a write also reads, without a lock."""
    fork: tuple[str, str] | None = None
    """One more row to lock: which of the two is decided by the last of `rows` when it is locked."""
    autocommit: bool = False


@dataclass(frozen=True, kw_only=True)
class Script:
    """What one session does. After an error it goes on behind its next commit or rollback."""

    operations: tuple[Operation, ...]
    isolation: Isolation = "read committed"


@dataclass(kw_only=True)
class _Session:
    script: Script
    position: int = 0
    results: list[str] = field(default_factory=list)
    memory: int = 0
    """What it has seen so far, as a number: its later writes depend on it."""
    own: dict[str, int] = field(default_factory=dict)
    """Written and not committed."""
    locks: set[str] = field(default_factory=set)
    snapshot: dict[str, int] | None = None
    at: int = 0
    """The number of commits when the snapshot was taken."""
    wanted: list[str] = field(default_factory=list)
    """Rows that the statement under way still has to lock."""
    forked: bool = False
    tried: set[str] = field(default_factory=set)
    waits_for: str | None = None
    took_snapshot: bool = False
    choice: int = 0
    began: int = 0


@dataclass(kw_only=True)
class World:
    """The database and its sessions at one moment."""

    scripts: Sequence[Script]
    rows: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    commits: int = 0
    queues: dict[str, list[int]] = field(default_factory=dict)
    sessions: list[_Session] = field(init=False)
    choices: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    completed: list[tuple[Taken, int]] = field(default_factory=list)
    ticks: int = 0

    def __post_init__(self) -> None:
        self.sessions = [_Session(script=script) for script in self.scripts]

    @property
    def enabled(self) -> tuple[int, ...]:
        return tuple(
            number
            for number, session in enumerate(self.sessions)
            if session.waits_for is None and session.position < len(session.script.operations)
        )

    @property
    def outcome(self) -> tuple[object, ...]:
        written = tuple(sorted(self.rows.items()))
        return (written, *(tuple(session.results) for session in self.sessions))

    @property
    def state(self) -> str:
        """All that what follows can depend on."""
        sessions = [
            (
                (s.position, s.results, s.memory, sorted(s.own.items()), sorted(s.locks)),
                (s.snapshot, s.at, s.wanted, s.forked, sorted(s.tried), s.waits_for),
            )
            for s in self.sessions
        ]
        queues = sorted(item for item in self.queues.items() if item[1])
        rows, versions = sorted(self.rows.items()), sorted(self.versions.items())
        return repr((rows, versions, queues, sessions))

    def copied(self) -> "World":
        """Another world that goes its own way from here."""
        other = World(scripts=self.scripts)
        other.rows, other.versions = dict(self.rows), dict(self.versions)
        other.commits, other.ticks = self.commits, self.ticks
        other.queues = {row: list(queue) for row, queue in self.queues.items()}
        other.choices, other.completed = list(self.choices), list(self.completed)
        other.sessions = [
            replace(
                session,
                results=list(session.results),
                own=dict(session.own),
                locks=set(session.locks),
                wanted=list(session.wanted),
                tried=set(session.tried),
            )
            for session in self.sessions
        ]
        return other

    def release(self, racer: int) -> None:
        """Let this session begin its next operation, and everything that follows from it."""
        session = self.sessions[racer]
        operation = session.script.operations[session.position]
        self.ticks += 1
        self.choices.append((racer, self.enabled))
        session.choice, session.began = len(self.choices) - 1, self.ticks
        session.wanted = list(operation.rows) if operation.kind in ("lock", "write") else []
        session.forked, session.tried, session.took_snapshot = False, set(), False
        if operation.kind not in ENDS:
            self._take_snapshot(session)
        self._advance(racer)

    def _take_snapshot(self, session: _Session) -> None:
        if session.script.isolation == "read committed" or session.snapshot is None:
            session.snapshot, session.at = dict(self.rows), self.commits
            session.took_snapshot = True

    def _advance(self, racer: int) -> None:
        """Lock what is still to be locked; at the end, or at an error, the step is over."""
        session = self.sessions[racer]
        operation = session.script.operations[session.position]
        while session.wanted:
            row = session.wanted[0]
            session.tried.add(row)
            if row not in session.locks and self._holder(row) is not None:
                session.waits_for = row
                self.queues.setdefault(row, []).append(racer)
                if self._in_circle(racer):
                    self._leave_queue(racer)
                    self._abort(racer, "deadlock")
                return
            session.locks.add(row)
            session.wanted.pop(0)
            if self.versions.get(row, 0) > session.at and self._keeps_snapshot(session):
                self._abort(racer, "changed since the snapshot")
                return
            if operation.fork and not session.wanted and not session.forked:
                session.forked = True
                session.wanted.append(operation.fork[self._newest(session, row) % 2])
        self._perform(racer, operation)

    @staticmethod
    def _keeps_snapshot(session: _Session) -> bool:
        return session.script.isolation != "read committed"

    def _perform(self, racer: int, operation: Operation) -> None:
        session = self.sessions[racer]
        match operation.kind:
            case "commit" | "rollback":
                self._end(racer, operation.kind, nothing(), committed=operation.kind == "commit")
                return
            case "unlock":
                self._unlock(racer, operation.rows[0])
                return
            case "try lock":
                self._try_lock(racer, operation.rows[0])
                return
            case "read":
                seen = tuple(self._seen(session, row) for row in operation.rows)
                session.memory += sum(seen)
                self._complete(racer, str(seen), Footprint(reads=frozenset(operation.rows)))
                return
            case "write":
                seen_sum = sum(self._seen(session, row) for row in operation.reads)
                for row in sorted(session.tried):
                    new = self._newest(session, row) * 3 + session.memory + seen_sum + racer + 1
                    session.own[row] = new % 997
        touched = Footprint(reads=frozenset(operation.reads), writes=frozenset(session.tried))
        if operation.kind == "lock":
            session.memory += sum(self._newest(session, row) for row in sorted(session.tried))
        if operation.autocommit and not self._has_transaction(session):
            self._end(racer, "written", touched, committed=True)
        else:
            self._complete(racer, f"ok {session.memory}", touched)

    @staticmethod
    def _has_transaction(session: _Session) -> bool:
        done = session.script.operations[: session.position]
        ends = [i for i, o in enumerate(done) if o.kind in ENDS]
        return any(not o.autocommit for o in done[ends[-1] + 1 if ends else 0 :])

    def _seen(self, session: _Session, row: str) -> int:
        assert session.snapshot is not None, "taken when the statement began"
        return session.own.get(row, session.snapshot.get(row, 0))

    def _newest(self, session: _Session, row: str) -> int:
        return session.own.get(row, self.rows.get(row, 0))

    def _try_lock(self, racer: int, row: str) -> None:
        session = self.sessions[racer]
        free = self._holder(row) in (None, racer)
        if free:
            session.locks.add(row)
        touched = Footprint(writes=frozenset({row}))
        self._complete(racer, "locked" if free else "not available", touched)

    def _unlock(self, racer: int, row: str) -> None:
        session = self.sessions[racer]
        if row not in session.locks or row in session.own:
            self._complete(racer, "not locked", nothing())
            return
        session.locks.remove(row)
        freed = Footprint(ends=True, released=frozenset({row}))
        self._complete(racer, "unlocked", freed)
        self._wake({row})

    def _abort(self, racer: int, why: str) -> None:
        session = self.sessions[racer]
        operations = session.script.operations
        reads = frozenset(operations[session.position].reads)
        touched = Footprint(reads=reads, writes=frozenset(session.tried))
        rest = operations[session.position :]
        if not operations[session.position].autocommit or self._has_transaction(session):
            skipped = next((i for i, o in enumerate(rest) if o.kind in ENDS), len(rest) - 1)
            session.position += skipped
        self._end(racer, why, touched, committed=False)

    def _end(self, racer: int, result: str, touched: Footprint, *, committed: bool) -> None:
        session = self.sessions[racer]
        freed, written = set(session.locks), frozenset(session.own)
        if committed and written:
            self.commits += 1
            self.rows.update(session.own)
            self.versions.update(dict.fromkeys(written, self.commits))
        ending = Footprint(
            ends=True,
            released=frozenset(freed) | touched.writes,
            committed_writes=written if committed else frozenset(),
        )
        session.own, session.locks, session.snapshot = {}, set(), None
        self._complete(racer, result, together(touched, ending))
        self._wake(freed)

    def _complete(self, racer: int, result: str, touched: Footprint) -> None:
        session = self.sessions[racer]
        self.ticks += 1
        footprint = replace(
            touched, isolation=session.script.isolation, takes_snapshot=session.took_snapshot
        )
        taken = Taken(
            racer=racer,
            step=_step(session, racer),
            reply=Reply(tag=result),
            choice=session.choice,
            began=session.began,
            ended=self.ticks,
            footprint=footprint,
        )
        self.completed.append((taken, len(self.choices) - 1))
        session.results.append(result)
        session.wanted = []
        session.position += 1

    def _wake(self, freed: set[str]) -> None:
        """The first in each queue has the lock now, and goes on."""
        woken = []
        for row in sorted(freed):
            if self.queues.get(row):
                first = self.queues[row].pop(0)
                self.sessions[first].locks.add(row)
                self.sessions[first].waits_for = None
                woken.append(first)
        for racer in woken:
            self._advance(racer)

    def _holder(self, row: str) -> int | None:
        holders = [number for number, s in enumerate(self.sessions) if row in s.locks]
        return holders[0] if holders else None

    def _in_circle(self, racer: int) -> bool:
        at = racer
        for _ in self.sessions:
            row = self.sessions[at].waits_for
            holder = None if row is None else self._holder(row)
            if holder is None:
                return False
            at = holder
            if at == racer:
                return True
        return False

    def _leave_queue(self, racer: int) -> None:
        row = self.sessions[racer].waits_for
        assert row is not None, "it has just begun to wait"
        self.queues[row].remove(racer)
        self.sessions[racer].waits_for = None

    def footprint(self, position: int) -> Footprint:
        waiting = [s.choice for s in self.sessions if s.waits_for is not None]
        return brought_about(position, self.completed, waiting)


def forced(world: World, choose: Choose) -> Run:
    """Run what this chooser decides, as `forcing` does."""
    gave_up = False
    while world.enabled:
        position = len(world.choices)
        pending = [
            Pending(racer=racer, step=_step(world.sessions[racer], racer))
            for racer in world.enabled
        ]
        before = world.footprint(position - 1) if position else None
        racer = choose(position, pending, before)
        if racer is None:
            gave_up = True
            break
        world.release(racer)
    return Run(
        choices=tuple(
            Choice(racer=racer, enabled=enabled, footprint=world.footprint(position))
            for position, (racer, enabled) in enumerate(world.choices)
        ),
        taken=tuple(taken for taken, _ in sorted(world.completed, key=lambda t: t[0].began)),
        results=tuple(tuple(session.results) for session in world.sessions),
        gave_up=gave_up,
    )


def _step(session: _Session, racer: int) -> Step:
    operation = session.script.operations[session.position]
    sql = " ".join((operation.kind, *operation.rows))
    return Step(session=racer + 1, number=len(session.results) + 1, kind="query", sql=sql)


def every_end(scripts: Sequence[Script]) -> Iterator[tuple[tuple[int, ...], World]]:
    """Every order, by brute force and without `Search`: the order, and the world after it."""
    open_ = [World(scripts=scripts)]
    while open_:
        world = open_.pop()
        if not world.enabled:
            yield tuple(racer for racer, _ in world.choices), world
        open_ += [_after(world, racer) for racer in world.enabled]


def every_outcome(scripts: Sequence[Script]) -> set[object]:
    """Every outcome by brute force; a state that was reached before is not followed again."""
    open_, seen = [World(scripts=scripts)], set[str]()
    outcomes = set[object]()
    while open_:
        world = open_.pop()
        if world.state in seen:
            continue
        seen.add(world.state)
        if not world.enabled:
            outcomes.add(world.outcome)
        open_ += [_after(world, racer) for racer in world.enabled]
    return outcomes


def _after(world: World, racer: int) -> World:
    other = world.copied()
    other.release(racer)
    return other


def switches(world: World) -> int:
    """Times that a session was left which could have gone on."""
    pairs = zip(world.choices, world.choices[1:], strict=False)
    return sum(before != now and before in enabled for (before, _), (now, enabled) in pairs)
