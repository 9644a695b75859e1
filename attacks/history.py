"""What was asked, what came back, and what was done to the service: the history of a run.

The history is the only bridge between attacks and judges. It is written to a file line by line, so
that a killed run keeps what it saw. Times are seconds since the recorder was made, or since 1970
where several processes record one load; money is in minor units.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

import orjson

Outcome = Literal["ok", "failed", "unknown"]
"""Acknowledged; definitely not done; nobody can say."""
PREPARATION = "preparation"
"""The actor of what is done before a load, so that there are wallets with money in them."""
SETUP = "setup"
"""The same before a round of an attack."""
BESIDE = "beside"
"""The kind of event that names a file which belongs to the same load: without it, operations are
missing."""
ENDED = "load ended"
"""The note that each process of a load writes last: a history without it is not whole."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """Money that an operation asks to be moved. A side that is None lies outside the service."""

    payer: str | None
    payee: str | None
    amount_minor: int


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One request with its outcome."""

    id: int
    actor: str
    """Which client: A, B, …"""
    name: str
    """What kind of request, e.g. "transfer", "read-balances"."""
    text: str
    """The request as one reads it."""
    round: int | None
    """The round it belongs to; None for what belongs to no round (control, log-in)."""
    moves: tuple[Move, ...] = ()
    key: str | None = None
    intended_s: float | None = None
    """When it was due, where a schedule says so: later is a stall, which the client suffers too."""
    started_s: float
    ended_s: float
    outcome: Outcome
    status: int | None
    answer: str
    """The answer as one reads it, or why there is none."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """What the answer said, e.g. {"id": …} or {"balances": {"1": 100}}."""

    @property
    def duration_s(self) -> float:
        return self.ended_s - self.started_s

    @property
    def response_time_s(self) -> float:
        """From when it was due: a client that could not ask yet waits as well."""
        return self.ended_s - (self.started_s if self.intended_s is None else self.intended_s)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that was done to the service, or seen of it, that is no request."""

    kind: str
    """A fault ("kill", "cut", "pause", …), or "note"."""
    text: str
    round: int | None
    at_s: float
    until_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class History:
    """A finished history, in the order of start."""

    operations: tuple[Operation, ...]
    events: tuple[Event, ...] = ()


class Recorder:
    """Collects a history from any number of threads."""

    def __init__(
        self,
        file: TextIO | None = None,
        *,
        ids_from: int = 1,
        since_epoch: bool = False,
        keep: bool = True,
    ) -> None:
        """`ids_from` keeps the ids of two recorders apart whose operations are judged together.

        `since_epoch`: times are comparable with those of other processes. Without `keep` only the
        file has what was recorded: a long load does not fit into memory.
        """
        self._file = file
        self._keep = keep
        self._lock = threading.Lock()
        # One reading of the clock that may be set, then only the one that never is.
        self._began_s = time.monotonic() - (time.time() if since_epoch else 0)
        self._operations: list[Operation] = []
        self._events: list[Event] = []
        self._next_id = ids_from - 1

    def now_s(self) -> float:
        return time.monotonic() - self._began_s

    def new_id(self) -> int:
        with self._lock:
            self._next_id += 1
            return self._next_id

    def operation(self, operation: Operation) -> Operation:
        with self._lock:
            if self._keep:
                self._operations.append(operation)
            self._write("operation", operation)
        return operation

    def event(self, kind: str, text: str, *, round: int | None = None) -> None:  # noqa: A002
        at_s = self.now_s()
        self._add(Event(kind=kind, text=text, round=round, at_s=at_s))

    @contextmanager
    def lasting(self, kind: str, text: str, *, round: int | None = None) -> Iterator[None]:  # noqa: A002
        """An event with a duration: recorded when it ends."""
        at_s = self.now_s()
        try:
            yield
        finally:
            until_s = self.now_s()
            self._add(Event(kind=kind, text=text, round=round, at_s=at_s, until_s=until_s))

    def history(self) -> History:
        """What was recorded so far."""
        with self._lock:
            return _in_order(self._operations, self._events)

    def take(self) -> History:
        """What was recorded so far, which is then forgotten here."""
        with self._lock:
            taken = _in_order(self._operations, self._events)
            self._operations, self._events = [], []
            return taken

    def _add(self, event: Event) -> None:
        with self._lock:
            if self._keep:
                self._events.append(event)
            self._write("event", event)

    def _write(self, kind: str, value: Operation | Event) -> None:
        if self._file is not None:
            self._file.write(_line(kind, value))
            self._file.flush()


def _line(kind: str, value: Operation | Event) -> str:
    try:
        line = orjson.dumps({kind: value}, default=str).decode()
    except orjson.JSONEncodeError:
        line = ""  # A number of more than 64 bits, or half of a surrogate pair.
    if not line or not line.isascii():
        # Slower, and legible whatever encoding the file was opened with.
        line = json.dumps({kind: asdict(value)}, default=str)
    return line + "\n"


def read_history(path: Path, *, torn: bool = False) -> History:
    """Read a recorded file, in the order of start.

    `torn` leaves out a last line that was cut off in the middle: its process was killed, or its
    disk was full. Raises ValueError that names the first line that cannot be read.
    """
    operations, events = [], []
    # Only a line feed ends a line: answers may hold what else Python takes for the end of one.
    *lines, rest = path.read_bytes().split(b"\n")
    if rest and not torn:
        lines.append(rest)
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if "operation" in record:
                operations.append(_operation(record["operation"]))
            else:
                events.append(Event(**record["event"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path.name}:{number} is not a line of a history: {error}") from error
    return _in_order(operations, events)


def _in_order(operations: Iterable[Operation], events: Iterable[Event]) -> History:
    return History(
        operations=tuple(sorted(operations, key=lambda o: (o.started_s, o.id))),
        events=tuple(sorted(events, key=lambda e: e.at_s)),
    )


def _operation(record: dict[str, Any]) -> Operation:
    moves = tuple(Move(**move) for move in record.pop("moves"))
    return Operation(moves=moves, **record)
