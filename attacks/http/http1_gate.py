"""Last-byte synchronisation over HTTP/1.1: one connection a request, held back by its last byte.

The last byte of the body or, where there is none, of the header block: no server can hand on a
request before its head is complete. Where it has a body, a service that does not wait for it may
act before the release; one that answers that early is found out.

Source: James Kettle, "Smashing the state machine: the true potential of web race conditions",
PortSwigger Research, 2023.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import h11

from attacks.http.gate_exchange import LOST, NOT_TAKEN, Exchange
from attacks.http.gate_link import Link


@dataclass(frozen=True, kw_only=True)
class Serialised:
    """A request as bytes, and the engine that made them and awaits the answer."""

    exchange: Exchange
    engine: h11.Connection
    wire: bytes

    @classmethod
    def of(cls, exchange: Exchange) -> "Serialised":
        """Raises ValueError when HTTP/1.1 cannot say it."""
        engine, encoded = h11.Connection(h11.CLIENT), exchange.encoded
        try:
            head = h11.Request(
                method=encoded.method, target=encoded.url.raw_path, headers=encoded.headers.raw
            )
            events = (head, h11.Data(data=encoded.content), h11.EndOfMessage())
            wire = b"".join(engine.send(event) or b"" for event in events)
        except h11.LocalProtocolError as error:
            raise ValueError(f"{exchange.request.text}: {error}") from error
        return cls(exchange=exchange, engine=engine, wire=wire)


class Http1Line:
    """One request on one connection."""

    def __init__(self, link: Link, serialised: Serialised) -> None:
        self.link = link
        self.exchanges: Sequence[Exchange] = (serialised.exchange,)
        self._exchange = serialised.exchange
        self._engine = serialised.engine
        self._wire = serialised.wire

    def begin(self) -> None:
        self.link.write(self._wire[:-1])

    def is_begun(self) -> bool:
        return self.link.is_taken_in()

    def drop_unbegun(self, at_s: float) -> None:
        if not self.is_begun():
            self._exchange.lose(NOT_TAKEN, at_s)

    def warm(self) -> None:
        """HTTP/1.1 has no such question."""

    def is_warm(self) -> bool:
        return True

    def ends(self) -> bytes:
        return b"" if self._exchange.ended else self._wire[-1:]

    def take(self, data: bytes, at_s: float) -> None:
        try:
            self._engine.receive_data(data)
            while not self._exchange.ended:
                event = self._engine.next_event()
                if event is h11.NEED_DATA:
                    return
                self._hear(event, at_s)
        except h11.RemoteProtocolError as error:
            why = f"answer not understood: {error}" if data else LOST
            self._exchange.lose(why, at_s)

    def _hear(self, event: object, at_s: float) -> None:
        if isinstance(event, h11.Response):
            self._exchange.answer_begins(event.status_code, event.headers)
        elif isinstance(event, h11.Data):
            self._exchange.more(bytes(event.data), at_s)
        elif isinstance(event, h11.EndOfMessage):
            self._exchange.answered(at_s)
        elif isinstance(event, h11.ConnectionClosed):
            self._exchange.lose(LOST, at_s)
        elif event is h11.PAUSED:
            self._exchange.lose("answer not understood: another protocol begins", at_s)
        # An interim response (100, 103) says nothing about the request.
