"""What the two threads of a proxied connection share: sockets, lock, and how it ends.

Whatever a thread receives goes onto one tape before it is passed on, and the tape is read under the
lock: so an answer is never looked at before its question, whichever thread comes first. Sockets are
closed when both threads have ended; until then they are only shut down, because the number of a
closed socket may be somebody else's already.
"""

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from attacks.postgres import wire
from attacks.postgres.conversation import Conversation, Exchange
from attacks.postgres.gate import Gate, RelayOrder, Reset
from attacks.postgres.messages import KeyData
from attacks.postgres.statements import Batch
from attacks.postgres.trace import ROWS_KEPT, Recorded, Reply, SessionInfo
from attacks.postgres.wire import Framer, WireError

CHUNK_BYTES = 65_536
ROW_KEPT_BYTES = 1_000_000
"""Of a longer row only the beginning is recorded."""
# Looking at several chunks at a time costs less and keeps out of the way of most answers. The
# server's thread does it, while the client thinks; the client's only when no answers come.
TAPED, MOST_TAPED = 8, 32
_LINGER_NOT = struct.pack("ii", 1, 0)


class SessionOverError(Exception):
    """One side has gone while a thread was waiting."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a session asks of its proxy."""

    gate: Callable[[], Gate | None]
    record: Callable[[Recorded], None] | None
    ready: Callable[["Link"], None]
    over: Callable[["Link"], None]
    problem: Callable[[str], None]


class Link:
    """One connection. Attributes without an underscore are the two threads' to use."""

    def __init__(
        self,
        info: SessionInfo,
        client: socket.socket,
        upstream: socket.socket,
        around: Surroundings,
    ) -> None:
        self.info = info
        self.key: KeyData | None = None
        self.client = client
        self.upstream = upstream
        self.around = around
        self.talk = Conversation()
        """Under the lock, as both framers."""
        self.lock = threading.RLock()
        self.from_client = Framer(keep={wire.COPY_DATA: 0})
        self.from_server = Framer(
            keep={wire.COPY_DATA: 0, wire.DATA_ROW: ROW_KEPT_BYTES},
            counted={wire.DATA_ROW: ROWS_KEPT},
        )
        self.is_ready = False
        """ReadyForQuery has come for the first time."""
        self.is_over = False
        self.gated: Exchange | None = None
        """Released by a gate, and its answer not yet passed on."""
        self.asked_for_password = 0
        """Code of an Authentication message that the client has not answered; 0 for none."""
        self._changed = threading.Condition(self.lock)
        self._tape: deque[tuple[bool, bytes, float]] = deque()
        self._client_gone = False
        self._is_waiting = False
        self._is_parked = False
        self._is_cancelled = False
        self._is_reset = False
        self._asked: Gate | None = None
        self._malformed: WireError | None = None

    # What passes.

    def pass_up(self, data: bytes) -> None:
        """First pass it on, then look at it, soon. Raises OSError, WireError."""
        self._tape.append((True, data, time.monotonic()))
        self.upstream.sendall(data)
        if len(self._tape) >= MOST_TAPED:
            self.drain()

    def pass_down(self, data: bytes) -> None:
        """First pass it on, then look at it, soon. Raises WireError."""
        self._tape.append((False, data, time.monotonic()))
        self.send_down(data)
        if self._is_waiting or len(self._tape) >= TAPED:
            self.drain()

    def send_down(self, data: bytes) -> None:
        """A client that has gone is not told; the server's answer is recorded all the same."""
        if not data or self.is_over:
            return
        try:
            self.client.sendall(data)
        except OSError:
            self.finish()
            shut(self.upstream, socket.SHUT_WR)

    def drain(self) -> None:
        """Look at what was passed on, in its order. Raises WireError, from then on always."""
        with self.lock:
            if self._malformed is not None:
                raise self._malformed
            try:
                while self._tape:
                    from_client, data, at_s = self._tape.popleft()
                    if from_client:
                        self._note_asked(data, at_s)
                    else:
                        self._note_answered(data, at_s)
            except WireError as error:
                self._malformed = error
                self._blame("the client" if from_client else "the database", error)
                raise

    def catch_up(self) -> None:
        """Everything that either side has received is recorded when this returns."""
        try:
            self.drain()
        except WireError:
            self.cut()

    def begin(self, batch: Batch, arrived_s: float, forwarded_s: float) -> None:
        """A batch that no gate is asked about."""
        with self.lock:
            recording = self.around.record is not None
            step = self.talk.next_step(self.info, batch) if recording else None
            self.talk.begin(batch, step=step, arrived_s=arrived_s, forwarded_s=forwarded_s)

    def _note_asked(self, data: bytes, at_s: float) -> None:
        for frame in self.from_client.feed(data):
            for part in self.talk.asked(frame):
                if isinstance(part, Batch):
                    self.begin(part, at_s, at_s)

    def _note_answered(self, data: bytes, at_s: float) -> None:
        for frame in self.from_server.feed(data):
            if (exchange := self.talk.answered(frame)) is not None:
                self.record(exchange, at_s)
                self.settle(exchange)

    # The answer.

    def answer(self, exchange: Exchange, last_part: bytes) -> None:
        """The reply is complete: ask the gate that released the step what becomes of it."""
        replied_s = time.monotonic()
        exchange.answered = True
        order: RelayOrder | None = None
        if exchange.gate is not None and exchange.step is not None and not self.is_over:
            with self.asking(exchange.gate):
                order = exchange.gate.replied(self.info, exchange.step, exchange.builder.reply())
        # Recorded first: who sees the client's next action finds the record.
        self.record(exchange, replied_s)
        if isinstance(order, Reset):
            self.reset()
            return
        self.send_down(last_part)
        self.settle(exchange)

    def settle(self, exchange: Exchange) -> None:
        with self.lock:
            self.talk.settle(exchange)
            self.gated = None
            self._changed.notify_all()

    def lose(self) -> None:
        """The database has closed the connection: what it has not answered is lost."""
        self.catch_up()
        for exchange in tuple(self.talk.in_flight):
            if not exchange.answered:
                exchange.answered = True
                self.record(exchange, time.monotonic(), lost=True)

    def record(self, exchange: Exchange, replied_s: float, *, lost: bool = False) -> None:
        if self.around.record is None or exchange.step is None:
            return
        reply: Reply = exchange.builder.reply(lost=lost)
        self.around.record(
            Recorded(
                step=exchange.step,
                reply=reply,
                arrived_s=exchange.arrived_s,
                forwarded_s=exchange.forwarded_s,
                replied_s=replied_s,
                relayed_s=time.monotonic() if exchange.gate is not None else replied_s,
            )
        )

    # Waiting.

    def become_ready(self) -> None:
        """The gate is asked before the client can send anything. Raises SessionOverError."""
        with self.lock:
            if self.is_over:
                raise SessionOverError
            self.around.ready(self)
        gate = self.around.gate()
        if gate is not None:
            gate.opened(self.info)
        if not self._note_ready() and gate is not None:
            gate.closed(self.info)

    def _note_ready(self) -> bool:
        """False when it ended meanwhile, and the gate that knows of it was not told."""
        with self.lock:
            self.is_ready = True
            self._changed.notify_all()
            return not self.is_over

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Asked again after each `settle` and `wake`. Raises SessionOverError, WireError."""
        with self.lock:
            # Before the tape is read: what comes onto it afterwards is looked at by who brings it.
            self._is_waiting = True
            self.drain()
            self._changed.wait_for(lambda: self.is_over or condition() or self._client_gone)
            self._is_waiting = False
            if self.is_over or not condition():
                raise SessionOverError

    def wake(self) -> None:
        with self.lock:
            self._changed.notify_all()

    @contextmanager
    def asking(self, gate: Gate) -> Iterator[None]:
        """A gate that is being asked is told of the session's end, also when it is replaced."""
        self._asked = gate
        try:
            yield
        finally:
            self._asked = None

    @contextmanager
    def parked(self, gate: Gate) -> Iterator[None]:
        """The client waits and the database knows nothing of it. Raises SessionOverError."""
        with self.lock:
            if self.is_over or self._client_gone:
                raise SessionOverError
            self._is_parked, self._is_cancelled = True, False
            self._asked = gate
        with self.asking(gate):
            yield

    def unpark(self) -> bool:
        """Whether a CancelRequest came while it was parked. Under the lock."""
        self._is_parked = False
        return self._is_cancelled

    # Seen from other threads.

    def cancel(self) -> bool:
        """A CancelRequest: whether it is the server's. A parked step will fail with 57014."""
        self.catch_up()
        with self.lock:
            self._is_cancelled |= self._is_parked
            return any(not exchange.answered for exchange in self.talk.in_flight)

    def client_hung_up(self) -> None:
        """Its thread finds that out by itself, unless it waits for something else."""
        with self.lock:
            self._client_gone = True
            self._changed.notify_all()
            if not self._is_parked and self._asked is None:
                return
        self.finish()
        shut(self.upstream, socket.SHUT_WR)

    # The end.

    def finish(self) -> None:
        """Tell everybody, once; also the gate in which a thread waits."""
        with self.lock:
            if self.is_over:
                return
            self.is_over = True
            gates = [self.around.gate()] if self.is_ready else []
            gates += [self._asked] if self._asked not in gates else []
            self._changed.notify_all()
        self.around.over(self)
        for gate in gates:
            if gate is not None:
                gate.closed(self.info)

    def cut(self) -> None:
        self.finish()
        if not self._is_reset:
            shut(self.client, socket.SHUT_RDWR)
        shut(self.upstream, socket.SHUT_RDWR)

    def reset(self) -> None:
        """RST to the client, sent when its socket is closed: nobody may send a FIN before."""
        self._is_reset = True
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.finish()
        shut(self.client, socket.SHUT_RD)
        shut(self.upstream, socket.SHUT_RDWR)

    @contextmanager
    def until_over(self, side: str) -> Iterator[None]:
        """Around a thread's work: what ends it, and the line that says why."""
        try:
            yield
        except (OSError, SessionOverError):
            return
        except WireError as error:
            if error is not self._malformed:
                self._blame(side, error)
            self.cut()

    def _blame(self, side: str, error: WireError) -> None:
        self.around.problem(f"session {self.info.number} was closed: {side} sent {error}")


def shut(connection: socket.socket, how: int) -> None:
    """End it one way or both; a thread that waits for it wakes up."""
    with contextlib.suppress(OSError):
        connection.shutdown(how)
