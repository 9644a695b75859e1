"""The thread that hears the client: passes its bytes on, or parks its steps at the gate."""

import contextlib
import time

from attacks.postgres import failing, wire
from attacks.postgres.conversation import Exchange
from attacks.postgres.gate import Fail, Forward, ForwardOrder, Gate, Reset
from attacks.postgres.held import Held
from attacks.postgres.link import CHUNK_BYTES, Link
from attacks.postgres.statements import Batch, Through
from attacks.postgres.wire import Frame

SASL = 10
_BEFORE_READY = (wire.PASSWORD, wire.TERMINATE)
_NO_BINDING = (
    "a client left when it was asked for its password: without TLS there is no channel binding; "
    "set channel_binding=disable (or prefer) in the service's database URL"
)


class ClientSide:
    """`run` returns when the client has gone or the session is over."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._held = Held()

    def run(self, early: bytes) -> None:
        """`early` is what came behind the start-up message."""
        link = self._link
        with link.until_over("the client"):
            if early:
                self._weigh(early)
            while data := link.client.recv(CHUNK_BYTES):
                if link.is_ready and not self._held and link.around.gate() is None:
                    self._held.skip(len(data))
                    link.pass_up(data)
                else:
                    self._weigh(data)
            if link.asked_for_password == SASL and not link.is_ready:
                link.around.problem(_NO_BINDING)

    def _weigh(self, data: bytes) -> None:
        """First look at it, then pass on what may pass."""
        link = self._link
        now_s = time.monotonic()
        link.drain()
        self._held.add(data)
        with link.lock:
            frames = link.from_client.feed(data)
        for frame in frames:
            self._weigh_frame(frame, now_s)
        streaming = link.from_client.partial_kind == wire.COPY_DATA
        if link.is_ready and (streaming or link.around.gate() is None):
            self._send_up()

    def _weigh_frame(self, frame: Frame, now_s: float) -> None:
        link = self._link
        if not link.is_ready and frame.kind in _BEFORE_READY:
            link.asked_for_password = 0
            self._send_up(frame.end)
            return
        link.wait_until(lambda: link.is_ready)
        with link.lock:
            parts = link.talk.asked(frame)
        for part in parts:
            if isinstance(part, Through):
                self._pass_through(part.until)
            elif link.talk.is_skipping:
                link.talk.give_up(part)
                self._pass_through(part.until)
            elif (gate := link.around.gate()) is None:
                link.begin(part, now_s, time.monotonic())
                self._send_up(part.until)
            else:
                self._pass_gate(gate, part, now_s)

    def _pass_through(self, until: int) -> None:
        self._send_up(until)
        if (exchange := self._link.gated) is not None:
            self._wait_for_answer(exchange)

    def _pass_gate(self, gate: Gate, batch: Batch, now_s: float) -> None:
        link = self._link
        link.wait_until(lambda: not link.talk.in_flight)
        step = link.talk.next_step(link.info, batch)
        order: ForwardOrder
        with link.parked(gate):
            order = gate.arrived(link.info, step)
        if isinstance(order, Reset):
            link.reset()
            return
        with link.lock:
            link.wait_until(lambda: True)
            order = Fail(sqlstate="57014") if link.unpark() else order
            exchange = link.talk.begin(
                batch, step=step, arrived_s=now_s, forwarded_s=time.monotonic(), gate=gate
            )
            link.gated = exchange
        self._obey(order, exchange)
        self._wait_for_answer(exchange)

    def _obey(self, order: Forward | Fail, exchange: Exchange) -> None:
        if isinstance(order, Fail):
            self._fail(exchange, order.sqlstate)
            return
        self._send_up(exchange.batch.until)
        if exchange.batch.needs_flush:
            self._link.upstream.sendall(wire.flush())

    def _fail(self, exchange: Exchange, sqlstate: str) -> None:
        link = self._link
        if not failing.is_sqlstate(sqlstate):
            raise ValueError(f"{sqlstate!r} is no SQLSTATE of an error")
        self._held.take(exchange.batch.until)
        exchange.sqlstate = sqlstate
        if sqlstate not in failing.FATAL:
            link.upstream.sendall(failing.substitute(exchange.batch, sqlstate))
            return
        exchange.builder.error = failing.error_fields(sqlstate)
        link.answer(exchange, wire.error_response(exchange.builder.error))
        # The database transaction ends with its session; PostgreSQL too sends its error before.
        with contextlib.suppress(OSError):
            link.upstream.sendall(wire.terminate())
        link.cut()

    def _send_up(self, until: int | None = None) -> None:
        if data := self._held.take(until):
            self._link.upstream.sendall(data)

    def _wait_for_answer(self, exchange: Exchange) -> None:
        """Or until the server waits for COPY data."""
        talk = self._link.talk
        self._link.wait_until(lambda: exchange not in talk.in_flight or talk.is_copying)
