"""Both directions of one session put together: which answer belongs to which batch.

No sockets, no threads, no clock: `session.py` has those.
"""

from collections import deque
from dataclasses import dataclass, replace

from attacks.postgres import messages, wire
from attacks.postgres.gate import Gate
from attacks.postgres.replies import ASYNCHRONOUS, ReplyBuilder
from attacks.postgres.statements import Assembler, Batch, Through
from attacks.postgres.trace import Kind, SessionInfo, Step, TransactionStatus
from attacks.postgres.wire import Frame

_BEGINS = ("BEGIN", "START TRANSACTION")
# ROLLBACK TO has the tag ROLLBACK as well: then a Sync may be taken for an end that it is not.
_ENDS = ("COMMIT", "ROLLBACK", "PREPARE TRANSACTION")


@dataclass(slots=True)
class Exchange:
    """A batch that is sent to the server, and its answer as far as it has come."""

    batch: Batch
    builder: ReplyBuilder
    step: Step | None
    """None when nobody records or asks for it."""
    gate: Gate | None
    """Who released it, and is asked about its reply."""
    arrived_s: float
    forwarded_s: float
    sqlstate: str | None = None
    """The server got a batch that fails with it instead."""
    instead: bytes = b""
    """What the client gets instead of the server's messages."""
    safe_until: int = 0
    """Position in the server's stream before which nothing belongs to the reply's last part."""
    answered: bool = False


class Conversation:
    """Fed with the frames of both sides, each in order; a batch is begun before it is answered."""

    def __init__(self) -> None:
        self.in_flight: deque[Exchange] = deque()
        self.status: TransactionStatus = "I"
        self._assembler = Assembler()
        self._steps = 0
        self._in_block = False

    @property
    def is_skipping(self) -> bool:
        """The server discards everything until the next Sync."""
        return self._assembler.is_skipping

    @property
    def is_copying(self) -> bool:
        """The server waits for the client's COPY data."""
        return self._assembler.is_copying

    def asked(self, frame: Frame) -> list[Batch | Through]:
        """What a message of the client's completes. Raises WireError."""
        return self._assembler.feed(frame)

    def next_step(self, session: SessionInfo, batch: Batch) -> Step:
        self._steps += 1
        return Step(
            session=session.number,
            number=self._steps,
            kind=self._kind(batch),
            sql=batch.sql,
            parameters=batch.parameters(),
            status_before=self.status,
            ends_with_sync=batch.synced,
        )

    def begin(
        self,
        batch: Batch,
        *,
        step: Step | None,
        arrived_s: float,
        forwarded_s: float,
        gate: Gate | None = None,
    ) -> Exchange:
        """The batch is about to be sent to the server, or what fails instead."""
        exchange = Exchange(
            batch=batch,
            builder=ReplyBuilder(batch),
            step=step,
            gate=gate,
            arrived_s=arrived_s,
            forwarded_s=forwarded_s,
        )
        self.in_flight.append(exchange)
        return exchange

    def answered(self, frame: Frame) -> Exchange | None:
        """A message of the server's; the exchange whose reply it completes. Raises WireError."""
        if frame.kind in ASYNCHRONOUS:
            return None
        if not self.in_flight:
            # Nobody asked: the ReadyForQuery behind a skipped batch tells the status all the same.
            if frame.kind == wire.READY_FOR_QUERY:
                self.status = messages.transaction_status(frame.body)
            return None
        exchange = self.in_flight[0]
        if frame.kind in (wire.COPY_IN, wire.COPY_BOTH):
            self._assembler.begin_copy(exchange.batch)
        return exchange if exchange.builder.feed(frame) else None

    def settle(self, exchange: Exchange) -> None:
        """Its reply is complete and has been passed on: what the session is like now."""
        self.in_flight.popleft()
        self._assembler.end_copy(exchange.batch)
        self._follow(exchange.builder)
        if exchange.builder.error is not None:
            self._assembler.undo(exchange.batch, parsed=exchange.builder.parsed)
            if not exchange.batch.synced:
                self._skip()

    def give_up(self, batch: Batch) -> None:
        """The server discards this batch."""
        self._assembler.undo(batch)

    def _kind(self, batch: Batch) -> Kind:
        """A Sync inside a transaction block ends nothing."""
        return "prepare" if batch.kind == "sync" and self._in_block else batch.kind

    def _follow(self, builder: ReplyBuilder) -> None:
        """Before the next ReadyForQuery, tags tell whether a transaction block is open."""
        if builder.status is not None:
            self.status = builder.status
            self._in_block = builder.status != "I"
        elif builder.tag in _BEGINS:
            self._in_block = True
        elif builder.tag in _ENDS:
            self._in_block = False

    def _skip(self) -> None:
        """After an error, nothing is answered before the next Sync, and that with ReadyForQuery."""
        while self.in_flight:
            following = self.in_flight[0]
            self._assembler.undo(following.batch)
            if following.batch.synced and not following.batch.is_simple:
                following.batch.kind = "sync"
                if following.step is not None:
                    kind = self._kind(following.batch)
                    following.step = replace(following.step, kind=kind, sql="", parameters=())
                return
            self.in_flight.popleft()
        self._assembler.skip()
