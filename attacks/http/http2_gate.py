"""The single-packet attack over HTTP/2: the ends of many requests in one write.

Of a request with a body all goes ahead but its last byte. One without a body waits whole: a service
may hand on a request with its HEADERS frame, and the empty DATA frame that could be held back
instead would come too late. A PING is answered after the frames before it were read, and so says
when the requests can be completed.

Source: James Kettle, "Smashing the state machine: the true potential of web race conditions",
PortSwigger Research, 2023. Frames: RFC 9113.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import FrameTooLargeError, H2Error
from h2.settings import SettingCodes, Settings

from attacks.http.gate_exchange import LOST, NOT_TAKEN, Exchange
from attacks.http.gate_link import Link

PING = b"all read"
FRAME_HEAD_BYTES = 9
LONGEST_FRAME_BYTES = 16_384
"""SETTINGS_MAX_FRAME_SIZE, which the gate leaves as it is."""
GOAWAY_TYPE = 7
REFUSED = "refused by the service before any processing"
NOT_IN_HTTP2 = frozenset(
    (b"connection", b"host", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
"""What RFC 9113, 8.2.2, forbids, and Host, in whose place :authority stands."""


@dataclass(frozen=True, kw_only=True)
class GoAway:
    """The service will answer no stream after this one."""

    last_stream: int
    error: int


@dataclass(kw_only=True)
class _Body:
    """A body on its way: what is still to be sent ahead of its last byte."""

    exchange: Exchange
    ahead: memoryview
    last: bytes

    @property
    def waits(self) -> bool:
        return not self.exchange.ended


class Http2Line:
    """Several requests on one connection. `greet`, and wait until `is_greeted`, before `carry`."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.exchanges: Sequence[Exchange] = ()
        self._engine = _engine()
        self._frames = FrameSplitter()
        self._streams: dict[int, Exchange] = {}
        self._bodies: dict[int, _Body] = {}
        self._greeted = self._warm = False
        self._hears: Mapping[type[Event], Callable[[Any, float], None]] = {
            RemoteSettingsChanged: self._hear_settings,
            PingAckReceived: self._hear_pong,
            ResponseReceived: self._hear_response,
            DataReceived: self._hear_data,
            StreamEnded: self._hear_end,
            StreamReset: self._hear_reset,
        }

    def greet(self) -> None:
        self._engine.initiate_connection()
        self._flush()

    def is_greeted(self) -> bool:
        """Whether the service has shown, by its settings, that it speaks HTTP/2."""
        return self._greeted

    @property
    def most_requests(self) -> int:
        """SETTINGS_MAX_CONCURRENT_STREAMS."""
        return self._engine.remote_settings.max_concurrent_streams

    def carry(self, exchanges: Sequence[Exchange]) -> None:
        self.exchanges = tuple(exchanges)

    def begin(self) -> None:
        for exchange in self.exchanges:
            content = exchange.encoded.content
            if content:
                stream = self._open(exchange, end_stream=False)
                ahead = memoryview(content)[:-1]
                self._bodies[stream] = _Body(exchange=exchange, ahead=ahead, last=content[-1:])
        self._push()

    def is_begun(self) -> bool:
        self._push()
        waiting = [stream for stream, body in self._bodies.items() if body.waits]
        return (
            not self.link.unsent
            and self._engine.outbound_flow_control_window >= len(waiting)
            and all(self._is_through(stream) for stream in waiting)
        )

    def drop_unbegun(self, at_s: float) -> None:
        for stream, body in self._bodies.items():
            if body.waits and not self._is_through(stream):
                body.exchange.lose(NOT_TAKEN, at_s)
                self._engine.reset_stream(stream, ErrorCodes.CANCEL)
        self._flush()

    def warm(self) -> None:
        self._engine.ping(PING)
        self._flush()

    def is_warm(self) -> bool:
        return self._warm

    def ends(self) -> bytes:
        if self.link.ended:
            return b""
        for stream, body in self._bodies.items():
            if body.waits:
                self._engine.send_data(stream, body.last, end_stream=True)
        for exchange in self.exchanges:
            if not exchange.encoded.content and not exchange.ended:
                self._open(exchange, end_stream=True)
        return self._engine.data_to_send()

    def take(self, data: bytes, at_s: float) -> None:
        try:
            for frame in self._frames.split(data):
                self._hear(frame, at_s)
        except H2Error as error:
            self._lose_all(f"answer not understood: {error}", at_s)
            self.link.ended = True
        if not data:
            self._lose_all(LOST, at_s)
        self._flush()

    def _open(self, exchange: Exchange, *, end_stream: bool) -> int:
        stream = self._engine.get_next_available_stream_id()
        self._engine.send_headers(stream, header_fields(exchange), end_stream=end_stream)
        self._streams[stream] = exchange
        return stream

    def _push(self) -> None:
        """Send of the bodies what the windows allow."""
        for stream, body in self._bodies.items():
            while body.ahead and body.waits:
                room = min(
                    self._engine.local_flow_control_window(stream),
                    self._engine.max_outbound_frame_size,
                )
                if room <= 0:
                    break
                self._engine.send_data(stream, bytes(body.ahead[:room]))
                body.ahead = body.ahead[room:]
        self._flush()

    def _is_through(self, stream: int) -> bool:
        return (
            not self._bodies[stream].ahead and self._engine.local_flow_control_window(stream) >= 1
        )

    def _flush(self) -> None:
        if data := self._engine.data_to_send():
            self.link.write(data)

    def _hear(self, frame: "bytes | GoAway", at_s: float) -> None:
        if isinstance(frame, GoAway):
            self._turned_away(frame, at_s)
            return
        for event in self._engine.receive_data(frame):
            if hear := self._hears.get(type(event)):
                hear(event, at_s)

    def _hear_settings(self, _event: RemoteSettingsChanged, _at_s: float) -> None:
        self._greeted = True

    def _hear_pong(self, event: PingAckReceived, _at_s: float) -> None:
        self._warm |= event.ping_data == PING

    def _hear_response(self, event: ResponseReceived, _at_s: float) -> None:
        fields = [(bytes(name), bytes(value)) for name, value in event.headers]
        plain = [(name, value) for name, value in fields if not name.startswith(b":")]
        self._streams[event.stream_id].answer_begins(int(dict(fields)[b":status"]), plain)

    def _hear_data(self, event: DataReceived, at_s: float) -> None:
        exchange = self._streams[event.stream_id]
        self._engine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if not exchange.more(event.data, at_s):
            self._engine.reset_stream(event.stream_id, ErrorCodes.CANCEL)

    def _hear_end(self, event: StreamEnded, at_s: float) -> None:
        self._streams[event.stream_id].answered(at_s)

    def _hear_reset(self, event: StreamReset, at_s: float) -> None:
        exchange = self._streams[event.stream_id]
        if event.error_code == ErrorCodes.REFUSED_STREAM and exchange.status is None:
            # RFC 9113, 8.7: closed prior to any processing having occurred.
            exchange.lose(REFUSED, at_s, outcome="failed")
        else:
            exchange.lose(f"stream reset: {_error_name(event.error_code)}", at_s)

    def _turned_away(self, goaway: GoAway, at_s: float) -> None:
        """RFC 9113, 6.8: higher streams were not and will not be processed; no new ones either."""
        opened = {id(exchange): stream for stream, exchange in self._streams.items()}
        for exchange in self.exchanges:
            if opened.get(id(exchange), goaway.last_stream + 1) > goaway.last_stream:
                exchange.lose(REFUSED, at_s, outcome="failed")

    def _lose_all(self, why: str, at_s: float) -> None:
        for exchange in self.exchanges:
            exchange.lose(why, at_s)


class FrameSplitter:
    """Cuts what comes into frames and reads GOAWAY itself.

    h2 takes no frame after a GOAWAY, yet the streams before it are still to be answered.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def split(self, data: bytes) -> Iterator[bytes | GoAway]:
        """Whole frames. Raises FrameTooLargeError, which h2 would do only at the frame's end."""
        self._buffer += data
        while len(self._buffer) >= FRAME_HEAD_BYTES:
            length = int.from_bytes(self._buffer[:3], "big")
            if length > LONGEST_FRAME_BYTES:
                raise FrameTooLargeError(f"a frame of {length} bytes, or no HTTP/2")
            end = FRAME_HEAD_BYTES + length
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[:end])
            del self._buffer[:end]
            if frame[3] == GOAWAY_TYPE and length >= 8:
                last, error = struct.unpack_from("!II", frame, FRAME_HEAD_BYTES)
                yield GoAway(last_stream=last & 0x7FFF_FFFF, error=error)
            else:
                yield frame


def header_fields(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """The request's header block as HTTP/2 wants it: pseudo-fields first, names in lower case."""
    encoded = exchange.encoded
    url = encoded.url
    fields = [(name.lower(), value) for name, value in encoded.headers.raw]
    authority = dict(fields).get(b"host", url.netloc)
    return [
        (b":method", encoded.method.encode()),
        (b":scheme", url.raw_scheme),
        (b":authority", authority),
        (b":path", url.raw_path),
        *((name, value) for name, value in fields if name not in NOT_IN_HTTP2),
    ]


def check_headers(exchanges: Sequence[Exchange]) -> None:
    """Raises ValueError when HTTP/2 cannot say one of the requests."""
    engine = _engine()
    for exchange in exchanges:
        try:
            stream = engine.get_next_available_stream_id()
            engine.send_headers(stream, header_fields(exchange))
        except H2Error as error:
            raise ValueError(f"{exchange.request.text}: {error}") from error


def _engine() -> H2Connection:
    engine = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    engine.local_settings = Settings(
        client=True,
        initial_values={SettingCodes.ENABLE_PUSH: 0, SettingCodes.MAX_HEADER_LIST_SIZE: 65_536},
    )
    return engine


def _error_name(code: ErrorCodes | int) -> str:
    return code.name if isinstance(code, ErrorCodes) else f"error {code}"
