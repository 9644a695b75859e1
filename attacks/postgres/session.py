"""One connection through the proxy, once its start-up message is known: two threads, two sockets.

Without a gate, bytes are passed on first and looked at afterwards. With one, each step waits for
its order, is alone at the server, and its reply waits for the second order.

Whatever a thread receives goes onto one tape before it is passed on, and the tape is read under the
session's lock: so an answer is never looked at before its question, whichever thread comes first.
Sockets are closed when both threads have ended; until then they are only shut down, because the
number of a closed socket may be somebody else's already.
"""

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from attacks.postgres import failing, messages, wire
from attacks.postgres.conversation import Conversation, Exchange
from attacks.postgres.gate import Fail, Gate, Reset
from attacks.postgres.held import Held
from attacks.postgres.replies import ASYNCHRONOUS, LAST_PART
from attacks.postgres.statements import Batch, Through
from attacks.postgres.trace import Recorded, Reply, SessionInfo
from attacks.postgres.wire import Frame, Framer, WireError

CHUNK_BYTES = 65_536
REPLY_HELD_BYTES = 1_000_000
"""Rows beyond it are relayed before the reply is complete."""
ROW_KEPT_BYTES = 1_000_000
"""Of a longer row only the beginning is recorded."""
SASL = 10
_LINGER_NOT = struct.pack("ii", 1, 0)
_ROW_DATA = (wire.DATA_ROW, wire.COPY_DATA)


class SessionOverError(Exception):
    """One side has gone while a thread was waiting."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a session asks of its proxy; nothing of it is called under the session's lock."""

    gate: Callable[[], Gate | None]
    record: Callable[[Recorded], None] | None
    ready: Callable[["Session"], None]
    over: Callable[["Session"], None]
    problem: Callable[[str], None]


class Session:
    """`run` serves it in the calling thread and one more."""

    def __init__(
        self,
        info: SessionInfo,
        client: socket.socket,
        upstream: socket.socket,
        surroundings: Surroundings,
    ) -> None:
        self.info = info
        self.key: messages.KeyData | None = None
        self._client = client
        self._upstream = upstream
        self._around = surroundings
        self._changed = threading.Condition()
        self._talk = Conversation()
        self._tape: deque[tuple[bool, bytes, float]] = deque()
        self._from_client = Framer(keep={wire.COPY_DATA: 0})
        self._from_server = Framer(keep={wire.COPY_DATA: 0, wire.DATA_ROW: ROW_KEPT_BYTES})
        # Each is touched by one thread only.
        self._held_in = Held()
        self._held_out = Held()
        self._is_ready = False
        self._is_over = False
        self._client_gone = False
        self._is_weighing = False
        self._is_parked = False
        self._is_cancelled = False
        self._asked: Gate | None = None
        self._asked_for_password = 0

    def run(self, early: bytes = b"") -> None:
        """`early` is what the client sent behind its start-up message. Returns when it is over."""
        server = threading.Thread(
            target=self._serve_server, name=f"assay-server-{self.info.number}", daemon=True
        )
        server.start()
        try:
            self._serve_client(early)
        finally:
            self._finish()
            _shut(self._upstream, socket.SHUT_WR)
            server.join()
            self._upstream.close()

    def cancel(self) -> bool:
        """A CancelRequest came: whether it is the server's. A parked step will fail with 57014."""
        with self._changed:
            with contextlib.suppress(WireError):
                self._drain()
            if self._is_parked:
                self._is_cancelled = True
            return any(not exchange.answered for exchange in self._talk.in_flight)

    def client_hung_up(self) -> None:
        """Seen from outside. A thread that reads from the client will see it by itself."""
        with self._changed:
            self._client_gone = True
            if not self._is_weighing:
                return
        self._finish()
        _shut(self._upstream, socket.SHUT_WR)

    def cut(self) -> None:
        """End it from outside."""
        self._finish()
        _shut(self._client, socket.SHUT_RDWR)
        _shut(self._upstream, socket.SHUT_RDWR)

    # The client's thread.

    def _serve_client(self, early: bytes) -> None:
        with self._until_over("the client"):
            if early:
                self._weigh(early)
            while data := self._client.recv(CHUNK_BYTES):
                if self._is_ready and not self._held_in and self._around.gate() is None:
                    self._tape.append((True, data, time.monotonic()))
                    self._held_in.skip(len(data))
                    self._upstream.sendall(data)
                    with self._changed:
                        self._drain()
                else:
                    self._weigh(data)
            self._blame_channel_binding()

    def _weigh(self, data: bytes) -> None:
        """Look at it first, and pass on what may pass."""
        now_s = time.monotonic()
        with self._changed:
            self._drain()
        self._held_in.add(data)
        for frame in self._from_client.feed(data):
            if not self._is_ready and frame.kind == wire.PASSWORD:
                self._asked_for_password = 0
                self._send_up(frame.end)
                continue
            self._wait_until(lambda: self._is_ready)
            with self._changed:
                parts = self._talk.asked(frame)
            for part in parts:
                self._pass(part, now_s)
        streaming = self._from_client.partial_kind == wire.COPY_DATA
        if self._is_ready and (streaming or self._around.gate() is None):
            self._send_up()

    def _pass(self, part: Batch | Through, now_s: float) -> None:
        with self._changed:
            exchange = next(iter(self._talk.in_flight), None)
            discarded = isinstance(part, Batch) and self._talk.is_skipping
            if isinstance(part, Batch) and discarded:
                self._talk.give_up(part)
        if isinstance(part, Batch) and not discarded:
            self._pass_batch(part, now_s)
            return
        self._send_up(part.until)
        if exchange is not None and exchange.gate is not None:
            self._wait_for_answer(exchange)

    def _pass_batch(self, batch: Batch, now_s: float) -> None:
        gate = self._around.gate()
        if gate is None:
            with self._changed:
                recording = self._around.record is not None
                step = self._talk.next_step(self.info, batch) if recording else None
                self._talk.begin(batch, step=step, arrived_s=now_s, forwarded_s=time.monotonic())
            self._send_up(batch.until)
            return
        self._is_weighing = True
        try:
            self._pass_gate(gate, batch, now_s)
        finally:
            self._is_weighing = False

    def _pass_gate(self, gate: Gate, batch: Batch, now_s: float) -> None:
        self._wait_until(lambda: not self._talk.in_flight)
        with self._changed:
            if self._client_gone:
                raise SessionOverError
            step = self._talk.next_step(self.info, batch)
            self._is_parked, self._is_cancelled = True, False
        with self._asking(gate):
            order = gate.arrived(self.info, step)
        with self._changed:
            self._is_parked = False
            if self._is_over:
                raise SessionOverError
            if self._is_cancelled and not isinstance(order, Reset):
                order = Fail(sqlstate="57014")
            if isinstance(order, Reset):
                exchange = None
            else:
                exchange = self._talk.begin(
                    batch, step=step, arrived_s=now_s, forwarded_s=time.monotonic(), gate=gate
                )
        if exchange is None:
            self._reset()
        elif isinstance(order, Fail):
            self._fail(exchange, order.sqlstate)
        else:
            self._send_up(batch.until)
            if batch.needs_flush:
                self._upstream.sendall(wire.flush())
        if exchange is not None:
            self._wait_for_answer(exchange)

    def _fail(self, exchange: Exchange, sqlstate: str) -> None:
        if not failing.is_sqlstate(sqlstate):
            raise ValueError(f"{sqlstate!r} is no SQLSTATE of an error")
        self._held_in.take(exchange.batch.until)
        exchange.sqlstate = sqlstate
        if sqlstate not in failing.FATAL:
            self._upstream.sendall(failing.substitute(exchange.batch, sqlstate))
            return
        # The database transaction ends with its session.
        fields = failing.error_fields(sqlstate)
        exchange.builder.error = fields
        exchange.instead = wire.error_response(fields)
        self._upstream.sendall(wire.terminate())
        self._answer(exchange, 0)
        self.cut()

    def _send_up(self, until: int | None = None) -> None:
        if data := self._held_in.take(until):
            self._upstream.sendall(data)

    def _wait_for_answer(self, exchange: Exchange) -> None:
        """Or until the server waits for COPY data."""
        talk = self._talk
        self._wait_until(lambda: exchange not in talk.in_flight or talk.is_copying)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or condition())
            if self._is_over:
                raise SessionOverError

    # The server's thread.

    def _serve_server(self) -> None:
        try:
            with self._until_over("the database"):
                while data := self._upstream.recv(CHUNK_BYTES):
                    if self._is_ready and not self._is_gated():
                        self._tape.append((False, data, time.monotonic()))
                        self._held_out.skip(len(data))
                        self._send_down(data)
                        with self._changed:
                            self._drain()
                    else:
                        self._hear(data)
        finally:
            self._lose()
            self.cut()

    def _is_gated(self) -> bool:
        """Steps that nobody released are answered before one is parked, so the first one tells."""
        with self._changed:
            return any(exchange.gate for exchange in self._talk.in_flight)

    def _hear(self, data: bytes) -> None:
        with self._changed:
            self._drain()
        self._held_out.add(data)
        for frame in self._from_server.feed(data):
            if self._is_ready:
                self._hear_frame(frame)
            else:
                self._hear_greeting(frame)
        exchange = self._first_in_flight()
        if self._is_ready and (exchange is None or exchange.gate is None):
            self._send_down(self._held_out.take())
        elif exchange is not None and len(self._held_out) > REPLY_HELD_BYTES:
            self._spill(exchange)

    def _hear_greeting(self, frame: Frame) -> None:
        if frame.kind == wire.BACKEND_KEY_DATA:
            self.key = messages.key_data(frame.body)
            self.info = replace(self.info, pid=self.key.pid)
        elif frame.kind == wire.AUTHENTICATION:
            self._asked_for_password = messages.authentication_code(frame.body)
        elif frame.kind == wire.READY_FOR_QUERY:
            self._around.ready(self)
            gate = self._around.gate()
            if gate is not None:
                with self._asking(gate):
                    gate.opened(self.info)
            with self._changed:
                self._is_ready = True
                self._changed.notify_all()
        self._send_down(self._held_out.take(frame.end))

    def _hear_frame(self, frame: Frame) -> None:
        exchange = self._first_in_flight()
        if frame.kind in ASYNCHRONOUS:
            self._send_down(self._held_out.cut(frame.start, frame.end))
            return
        if exchange is not None and exchange.sqlstate is not None:
            self._hear_failure(exchange, exchange.sqlstate, frame)
            return
        with self._changed:
            completed = self._talk.answered(frame)
        if exchange is None:
            self._send_down(self._held_out.take(frame.end))
        elif completed is not None:
            self._answer(completed, frame.end)
        elif frame.kind not in LAST_PART:
            exchange.safe_until = frame.end
            if frame.kind in (wire.COPY_IN, wire.COPY_OUT, wire.COPY_BOTH):
                self._send_down(self._held_out.take(frame.end))
                with self._changed:
                    self._changed.notify_all()

    def _hear_failure(self, exchange: Exchange, sqlstate: str, frame: Frame) -> None:
        """Of the substitute's messages only the error and ReadyForQuery mean anything."""
        self._held_out.take(frame.end)
        raw = b""
        if frame.kind == wire.ERROR:
            raw = failing.error_shown(messages.fields(frame.body), sqlstate)
            frame = Framer().feed(raw)[0]
        elif frame.kind == wire.READY_FOR_QUERY:
            raw = wire.typed(frame.kind, frame.body)
        else:
            return
        exchange.instead += raw
        with self._changed:
            completed = self._talk.answered(frame)
        if completed is not None:
            self._answer(completed, 0)

    def _answer(self, exchange: Exchange, until: int) -> None:
        """The reply is complete: ask what becomes of it. `until` is its end in the stream."""
        replied_s = time.monotonic()
        reply = exchange.builder.reply()
        exchange.answered = True
        order = None
        if exchange.gate is not None and exchange.step is not None and not self._is_over:
            with self._asking(exchange.gate):
                order = exchange.gate.replied(self.info, exchange.step, reply)
        if isinstance(order, Reset):
            self._record(exchange, reply, replied_s, time.monotonic())
            self._reset()
            return
        self._send_down(self._held_out.take(until) + exchange.instead)
        self._record(exchange, reply, replied_s, time.monotonic())
        with self._changed:
            self._talk.settle(exchange)
            self._changed.notify_all()

    def _spill(self, exchange: Exchange) -> None:
        """More rows than are held: relay what cannot belong to the last part."""
        framer = self._from_server
        self._send_down(self._held_out.take(exchange.safe_until))
        if framer.partial_kind in _ROW_DATA and framer.partial_start == exchange.safe_until:
            self._send_down(self._held_out.take())

    def _send_down(self, data: bytes) -> None:
        """A client that has gone is not told; the server's answer is recorded all the same."""
        if not data or self._is_over:
            return
        try:
            self._client.sendall(data)
        except OSError:
            self._finish()
            _shut(self._upstream, socket.SHUT_WR)

    def _lose(self) -> None:
        """The database has closed the connection: what it has not answered is lost."""
        with self._changed, contextlib.suppress(WireError):
            self._drain()
        now_s = time.monotonic()
        for exchange in tuple(self._talk.in_flight):
            if not exchange.answered:
                exchange.answered = True
                self._record(exchange, exchange.builder.reply(lost=True), now_s, now_s)

    # Either thread.

    def _drain(self) -> None:
        """Look at what was passed on, in its order. Under the lock. Raises WireError."""
        while self._tape:
            from_client, data, at_s = self._tape.popleft()
            if from_client:
                self._note_asked(data, at_s)
            else:
                self._note_answered(data, at_s)

    def _note_asked(self, data: bytes, at_s: float) -> None:
        for frame in self._from_client.feed(data):
            for part in self._talk.asked(frame):
                if isinstance(part, Batch):
                    recording = self._around.record is not None
                    step = self._talk.next_step(self.info, part) if recording else None
                    self._talk.begin(part, step=step, arrived_s=at_s, forwarded_s=at_s)

    def _note_answered(self, data: bytes, at_s: float) -> None:
        for frame in self._from_server.feed(data):
            if (exchange := self._talk.answered(frame)) is not None:
                if exchange.step is not None:
                    self._record(exchange, exchange.builder.reply(), at_s, at_s)
                self._talk.settle(exchange)
                self._changed.notify_all()

    def _first_in_flight(self) -> Exchange | None:
        with self._changed:
            return next(iter(self._talk.in_flight), None)

    def _record(self, exchange: Exchange, reply: Reply, replied_s: float, relayed_s: float) -> None:
        if self._around.record is None or exchange.step is None:
            return
        self._around.record(
            Recorded(
                step=exchange.step,
                reply=reply,
                arrived_s=exchange.arrived_s,
                forwarded_s=exchange.forwarded_s,
                replied_s=replied_s,
                relayed_s=relayed_s,
            )
        )

    @contextmanager
    def _asking(self, gate: Gate) -> Iterator[None]:
        """A gate that is being asked is told of the session's end, also when it is replaced."""
        self._asked = gate
        try:
            yield
        finally:
            self._asked = None

    @contextmanager
    def _until_over(self, side: str) -> Iterator[None]:
        try:
            yield
        except (OSError, SessionOverError):
            return
        except WireError as error:
            self._around.problem(f"session {self.info.number} was closed: {side} sent {error}")
            self.cut()

    def _finish(self) -> None:
        """Once; also when a thread waits in the gate, which is told."""
        with self._changed:
            if self._is_over:
                return
            self._is_over = True
            gates = [self._around.gate()] if self._is_ready else []
            gates += [self._asked] if self._asked not in gates else []
            self._changed.notify_all()
        self._around.over(self)
        for gate in gates:
            if gate is not None:
                gate.closed(self.info)

    def _reset(self) -> None:
        """RST to the client; it goes out when the socket is closed, which nobody reads any more."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._finish()
        _shut(self._client, socket.SHUT_RD)
        _shut(self._upstream, socket.SHUT_RDWR)

    def _blame_channel_binding(self) -> None:
        if self._asked_for_password == SASL and not self._is_ready:
            self._around.problem(
                "a client left when it was asked for its password: without TLS there is no channel "
                "binding; set channel_binding=disable (or prefer) in the service's database URL"
            )


def _shut(connection: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(how)
