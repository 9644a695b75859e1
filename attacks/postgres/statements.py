"""What a client asks of a session: its messages put together into batches, one a step.

A batch is a Query, a FunctionCall, or the messages up to an Execute with the Sync or Flush behind
it; messages that execute nothing are one at their Sync or Flush. An Execute that something else
follows ends its batch without a Sync. A prepared statement is followed from its Parse, so that an
Execute is known by its SQL.
"""

from dataclasses import dataclass, field

from attacks.postgres import messages, wire
from attacks.postgres.messages import Column
from attacks.postgres.trace import Kind
from attacks.postgres.values import format_of, printed
from attacks.postgres.wire import Frame

PARAMETER_CHARACTERS_KEPT = 1_000


@dataclass(slots=True)
class Statement:
    """A prepared statement; what the server says of it is added when it does."""

    sql: str
    types: tuple[int, ...] = ()
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Portal:
    statement: Statement
    bound: messages.Bind

    def parameters(self) -> tuple[str | None, ...]:
        """As text, each at most `PARAMETER_CHARACTERS_KEPT` characters long."""
        types = self.statement.types
        found = []
        for index, value in enumerate(self.bound.parameters):
            oid = types[index] if index < len(types) else 0
            shown = printed(value, oid, format_of(self.bound.formats, index))
            found.append(shown and shown[:PARAMETER_CHARACTERS_KEPT])
        return tuple(found)


@dataclass(slots=True)
class Batch:
    """The messages of one step."""

    kind: Kind = "prepare"
    sql: str = ""
    portal: Portal | None = None
    until: int = 0
    """Position in the client's stream after its last byte."""
    synced: bool = False
    """It ends with a Sync, a Query or a FunctionCall: a ReadyForQuery answers it."""
    needs_flush: bool = False
    """Nothing in it makes the server send its replies."""
    answers: int = 0
    """Messages that answer it, each the last to its own question; ReadyForQuery not counted."""
    described: list[Statement | Portal | None] = field(default_factory=list)
    """What its Describe messages ask for, in order."""
    defined: list[tuple[str, Statement | None]] = field(default_factory=list)
    """Names that its Parse messages define, in order, with what they meant before."""

    @property
    def is_simple(self) -> bool:
        return self.kind in ("query", "call")

    @property
    def is_empty(self) -> bool:
        return not self.answers

    def parameters(self) -> tuple[str | None, ...]:
        return self.portal.parameters() if self.portal else ()


@dataclass(frozen=True, slots=True)
class Through:
    """Everything up to this position is passed on and is no step."""

    until: int


class Assembler:
    """Follows what one client sends."""

    def __init__(self) -> None:
        self._statements: dict[str, Statement] = {}
        self._portals: dict[str, Portal] = {}
        self._open = Batch()
        self._executed = False
        self._unsynced = False
        self._skipping = False
        self._copying: Batch | None = None

    @property
    def is_skipping(self) -> bool:
        return self._skipping

    @property
    def is_copying(self) -> bool:
        return self._copying is not None

    def feed(self, frame: Frame) -> list[Batch | Through]:
        """What this message completes. Raises WireError."""
        if frame.kind in (wire.COPY_DATA, wire.COPY_DONE, wire.COPY_FAIL) or self._copying:
            return [self._copy(frame)]
        if self._skipping and frame.kind != wire.SYNC:
            return [Through(frame.end)]
        done: list[Batch | Through] = []
        if self._executed and frame.kind not in (wire.SYNC, wire.FLUSH, wire.CLOSE):
            self._open.needs_flush = True
            done.append(self._cut())
        completed = self._take(frame)
        if completed is not None:
            done.append(completed)
        return done

    def skip(self) -> None:
        """An error: the server discards what comes until the next Sync."""
        self.undo(self._open)
        self._open = Batch()
        self._executed = False
        self._skipping = True

    def undo(self, batch: Batch, *, parsed: int = 0) -> None:
        """The server did not get beyond so many of the batch's Parse messages."""
        for name, before in reversed(batch.defined[parsed:]):
            if before is None:
                self._statements.pop(name, None)
            else:
                self._statements[name] = before

    def begin_copy(self, batch: Batch) -> None:
        """The server waits for COPY data of this batch's."""
        self._copying = batch

    def end_copy(self, batch: Batch) -> None:
        """The batch has been answered."""
        if self._copying is batch:
            self._copying = None

    def _copy(self, frame: Frame) -> Through:
        """In the extended protocol the server ignores a Sync until the data's end."""
        needs_sync = self._copying and self._copying.synced and not self._copying.is_simple
        if frame.kind in ((wire.SYNC,) if needs_sync else (wire.COPY_DONE, wire.COPY_FAIL)):
            self._copying = None
        return Through(frame.end)

    def _take(self, frame: Frame) -> Batch | Through | None:
        self._open.until = frame.end
        match frame.kind:
            case wire.QUERY:
                self._simple("query", messages.query(frame.body))
            case wire.FUNCTION_CALL:
                self._simple("call", f"function {messages.function_oid(frame.body)}")
            case wire.SYNC:
                self._sync()
            case wire.FLUSH:
                return Through(frame.end) if self._open.is_empty else self._cut()
            case wire.PARSE | wire.BIND | wire.DESCRIBE | wire.EXECUTE | wire.CLOSE:
                self._extend(frame)
                return None
            case _:
                return Through(frame.end)
        return self._cut()

    def _cut(self) -> Batch:
        batch = self._open
        self._open = Batch()
        self._unsynced = not batch.synced and (self._unsynced or self._executed)
        self._executed = False
        return batch

    def _simple(self, kind: Kind, sql: str) -> None:
        self._open.kind = kind
        self._open.sql = sql
        self._open.synced = True

    def _sync(self) -> None:
        self._open.synced = True
        if self._unsynced and not self._executed:
            self._open.kind = "sync"
            self._open.sql = ""
        self._skipping = False

    def _extend(self, frame: Frame) -> None:
        match frame.kind:
            case wire.PARSE:
                self._parse(messages.parse(frame.body))
            case wire.BIND:
                self._bind(messages.bind(frame.body))
            case wire.DESCRIBE:
                self._describe(messages.named(frame.body))
            case wire.EXECUTE:
                self._execute(messages.execute(frame.body))
            case _:
                self._close(messages.named(frame.body))
        self._open.answers += 1

    def _parse(self, parsed: messages.Parse) -> None:
        self._open.defined.append((parsed.name, self._statements.get(parsed.name)))
        self._statements[parsed.name] = Statement(parsed.sql, parsed.types)
        self._open.sql = self._open.sql or parsed.sql

    def _bind(self, bound: messages.Bind) -> None:
        statement = self._statements.get(bound.statement) or Statement("")
        self._portals[bound.portal] = Portal(statement, bound)
        self._open.sql = self._open.sql or statement.sql

    def _describe(self, named: messages.Named) -> None:
        described: Statement | Portal | None
        if named.of == "S":
            described = self._statements.get(named.name)
            self._open.sql = self._open.sql or (described.sql if described else "")
        else:
            described = self._portals.get(named.name)
        self._open.described.append(described)

    def _execute(self, executed: messages.Execute) -> None:
        self._open.kind = "execute"
        self._open.portal = self._portals.get(executed.portal)
        self._open.sql = self._open.portal.statement.sql if self._open.portal else ""
        self._executed = True

    def _close(self, named: messages.Named) -> None:
        kept: dict[str, Statement] | dict[str, Portal]
        kept = self._statements if named.of == "S" else self._portals
        kept.pop(named.name, None)
