"""What the server answers to one batch: its messages put together into a `Reply`."""

from attacks.postgres import messages, wire
from attacks.postgres.messages import Column
from attacks.postgres.statements import Batch, Portal, Statement
from attacks.postgres.trace import CHARACTERS_KEPT, ROWS_KEPT, Reply, TransactionStatus
from attacks.postgres.values import format_of, printed
from attacks.postgres.wire import Frame

ASYNCHRONOUS = frozenset((wire.NOTICE, wire.NOTIFICATION, wire.PARAMETER_STATUS))
"""Messages that the server sends whenever it likes."""

LAST_PART = frozenset(
    (
        wire.COMMAND_COMPLETE,
        wire.EMPTY_QUERY,
        wire.PORTAL_SUSPENDED,
        wire.ERROR,
        wire.READY_FOR_QUERY,
        wire.CLOSE_COMPLETE,
    )
)
"""Messages from which on a reply may be at its end."""

# The last answer to each message of the extended protocol.
_ANSWERS = frozenset(
    (
        wire.PARSE_COMPLETE,
        wire.BIND_COMPLETE,
        wire.CLOSE_COMPLETE,
        wire.ROW_DESCRIPTION,
        wire.NO_DATA,
        wire.COMMAND_COMPLETE,
        wire.EMPTY_QUERY,
        wire.PORTAL_SUSPENDED,
    )
)
_FATAL = ("FATAL", "PANIC")


class ReplyBuilder:
    """Fed with the messages after the batch was sent, asynchronous ones excepted."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._described = list(batch.described)
        self._described_columns: tuple[Column, ...] | None = None
        self._answers = 0
        self._rows: list[tuple[str | None, ...]] = []
        self._row_count = 0
        self.tag: str | None = None
        self.status: TransactionStatus | None = None
        self.parsed = 0
        """Parse messages that succeeded."""
        self.error: dict[str, str] | None = None

    def feed(self, frame: Frame) -> bool:
        """Whether the reply is complete with this message. Raises WireError."""
        kind = frame.kind
        if kind == wire.DATA_ROW:
            self._row_count += frame.times
            if self._row_count <= ROWS_KEPT:
                self._rows.append(self._row(frame))
            return False
        if kind == wire.READY_FOR_QUERY:
            self.status = messages.transaction_status(frame.body)
            return True
        if kind == wire.ERROR:
            return self._fail(messages.fields(frame.body))
        self._note(frame)
        if kind in _ANSWERS:
            self._answers += 1
        return not self._batch.synced and self._answers >= self._batch.answers

    def reply(self, *, lost: bool = False) -> Reply:
        error = self.error or {}
        return Reply(
            tag=self.tag if self.error is None else None,
            columns=tuple(column.name for column in self._columns()),
            rows=tuple(self._rows),
            row_count=self._row_count,
            sqlstate=error.get("C"),
            message=error.get("M", ""),
            status=self.status,
            lost=lost,
        )

    def _fail(self, error: dict[str, str]) -> bool:
        """No ReadyForQuery comes behind a fatal error."""
        self.error = error
        is_fatal = error.get("V", error.get("S")) in _FATAL
        return is_fatal or not self._batch.synced

    def _note(self, frame: Frame) -> None:
        match frame.kind:
            case wire.COMMAND_COMPLETE:
                self.tag = messages.command_tag(frame.body)
            case wire.PARSE_COMPLETE:
                self.parsed += 1
            case wire.PARAMETER_DESCRIPTION:
                self._describe_parameters(messages.parameter_description(frame.body))
            case wire.ROW_DESCRIPTION:
                self._describe_rows(messages.row_description(frame.body))
            case wire.NO_DATA:
                self._describe_rows(())
            case _:
                pass

    def _describe_parameters(self, types: tuple[int, ...]) -> None:
        if self._described and isinstance(self._described[0], Statement):
            self._described[0].types = types

    def _describe_rows(self, columns: tuple[Column, ...]) -> None:
        described = self._described.pop(0) if self._described else None
        if isinstance(described, Statement):
            described.columns = columns
        if isinstance(described, Portal) or self._batch.is_simple:
            self._described_columns = columns

    def _columns(self) -> tuple[Column, ...]:
        """A client that has described the statement before does not ask again."""
        if self._described_columns is not None:
            return self._described_columns
        portal = self._batch.portal
        if portal is None:
            return ()
        formats = portal.bound.result_formats
        return tuple(
            Column(name=c.name, type_oid=c.type_oid, format=format_of(formats, index))
            for index, c in enumerate(portal.statement.columns)
        )

    def _row(self, frame: Frame) -> tuple[str | None, ...]:
        columns = self._columns()
        values = messages.data_row(frame.body, frame.size)
        if len(columns) != len(values):
            return tuple(_shown(value, 0, 0) for value in values)
        return tuple(
            _shown(value, column.type_oid, column.format)
            for value, column in zip(values, columns, strict=True)
        )


def _shown(value: bytes | None, type_oid: int, form: int) -> str | None:
    """At most `CHARACTERS_KEPT` characters, each of at most four bytes."""
    if value is not None and form == 0:
        value = value[: 4 * CHARACTERS_KEPT]
    shown = printed(value, type_oid, form)
    return shown and shown[:CHARACTERS_KEPT]
