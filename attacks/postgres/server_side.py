"""The thread that hears the database: passes its bytes on, or holds a reply for the gate."""

from dataclasses import replace

from attacks.postgres import failing, messages, wire
from attacks.postgres.conversation import Exchange
from attacks.postgres.held import Held
from attacks.postgres.link import CHUNK_BYTES, Link
from attacks.postgres.replies import ASYNCHRONOUS, LAST_PART
from attacks.postgres.wire import Frame, Framer

REPLY_HELD_BYTES = 1_000_000
"""Rows beyond it are relayed before the reply is complete."""
_ROW_DATA = (wire.DATA_ROW, wire.COPY_DATA)
_COPY_STARTS = (wire.COPY_IN, wire.COPY_OUT, wire.COPY_BOTH)
_DATABASE_WANTS_TLS = (
    "the database lets this user in only with TLS, and the proxy speaks none: allow the address of "
    "the proxy without it (a line `host` instead of `hostssl` in pg_hba.conf)"
)


class ServerSide:
    """`run` returns when the database has gone; then the session is over."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._held = Held()

    def run(self) -> None:
        link = self._link
        try:
            with link.until_over("the database"):
                while data := link.upstream.recv(CHUNK_BYTES):
                    # A gate gets a step only when all before it has been answered.
                    if link.is_ready and link.gated is None:
                        self._held.skip(len(data))
                        link.pass_down(data)
                    else:
                        self._hear(data)
        finally:
            link.lose()
            link.cut()

    def _hear(self, data: bytes) -> None:
        """First look at it, then pass on what may pass."""
        link = self._link
        link.drain()
        self._held.add(data)
        with link.lock:
            frames = link.from_server.feed(data)
        for frame in frames:
            if not link.is_ready:
                self._hear_greeting(frame)
            elif frame.kind in ASYNCHRONOUS:
                link.send_down(self._held.cut(frame.start, frame.end))
            elif (exchange := link.gated) is None:
                self._hear_unasked(frame)
            elif exchange.sqlstate is not None:
                self._hear_failure(exchange, exchange.sqlstate, frame)
            else:
                self._hear_answer(exchange, frame)
        if (exchange := link.gated) is not None:
            self._spill(exchange)
        elif link.is_ready:
            link.send_down(self._held.take())

    def _hear_greeting(self, frame: Frame) -> None:
        link = self._link
        if frame.kind == wire.BACKEND_KEY_DATA:
            link.key = messages.key_data(frame.body)
            link.info = replace(link.info, pid=link.key.pid)
        elif frame.kind == wire.AUTHENTICATION:
            link.asked_for_password = messages.authentication_code(frame.body)
        elif frame.kind == wire.ERROR and _wants_tls(messages.fields(frame.body)):
            link.around.problem(_DATABASE_WANTS_TLS)
        elif frame.kind == wire.READY_FOR_QUERY:
            link.become_ready()
        link.send_down(self._held.take(frame.end))

    def _hear_unasked(self, frame: Frame) -> None:
        """No gate is waiting for it: such as the error that ends an idle session."""
        with self._link.lock:
            completed = self._link.talk.answered(frame)
        raw = self._held.take(frame.end)
        if completed is None:
            self._link.send_down(raw)
        else:
            self._link.answer(completed, raw)

    def _hear_answer(self, exchange: Exchange, frame: Frame) -> None:
        link = self._link
        with link.lock:
            completed = link.talk.answered(frame)
        if completed is not None:
            link.answer(completed, self._held.take(frame.end))
        elif frame.kind not in LAST_PART:
            exchange.safe_until = frame.end
            if frame.kind in _COPY_STARTS:
                link.send_down(self._held.take(frame.end))
                link.wake()

    def _hear_failure(self, exchange: Exchange, sqlstate: str, frame: Frame) -> None:
        """Of the substitute's messages only the error and ReadyForQuery mean anything."""
        raw = self._held.take(frame.end)[frame.start - frame.end :]
        if frame.kind == wire.ERROR:
            raw = failing.error_shown(messages.fields(frame.body), sqlstate)
            frame = Framer().feed(raw)[0]
        elif frame.kind != wire.READY_FOR_QUERY:
            return
        exchange.instead += raw
        with self._link.lock:
            completed = self._link.talk.answered(frame)
        if completed is not None:
            self._link.answer(completed, exchange.instead)

    def _spill(self, exchange: Exchange) -> None:
        """More rows than are held: relay what cannot belong to the last part."""
        link = self._link
        if len(self._held) <= REPLY_HELD_BYTES:
            return
        link.send_down(self._held.take(exchange.safe_until))
        framer = link.from_server
        if framer.partial_kind in _ROW_DATA and framer.partial_start == exchange.safe_until:
            link.send_down(self._held.take())


def _wants_tls(error: dict[str, str]) -> bool:
    """The text is translated on some servers; then nothing is said."""
    return error.get("C") == "28000" and "no encryption" in error.get("M", "")
