"""PostgreSQL's frontend/backend protocol as pure functions over bytes: framing and encoding.

Protocol versions 3.0 and 3.2, as "Frontend/Backend Protocol" of PostgreSQL's documentation
describes them. Whatever the bytes are, only `WireError` is raised. The bodies of messages are
decoded in `messages.py`.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

UNTYPED = -1
"""The kind of a start-up packet: it has a code in its body instead of a type byte."""

# Frontend kinds.
BIND, CLOSE, DESCRIBE, EXECUTE, FLUSH = b"BCDEH"
PARSE, QUERY, SYNC, TERMINATE, FUNCTION_CALL = b"PQSXF"
COPY_DATA, COPY_DONE, COPY_FAIL, PASSWORD = b"dcfp"

# Backend kinds.
AUTHENTICATION, BACKEND_KEY_DATA, PARAMETER_STATUS, READY_FOR_QUERY = b"RKSZ"
NOTICE, NOTIFICATION, ERROR, NEGOTIATE_PROTOCOL_VERSION = b"NAEv"
ROW_DESCRIPTION, DATA_ROW, NO_DATA, PARAMETER_DESCRIPTION = b"TDnt"
COMMAND_COMPLETE, EMPTY_QUERY, PORTAL_SUSPENDED, FUNCTION_RESULT = b"CIsV"
PARSE_COMPLETE, BIND_COMPLETE, CLOSE_COMPLETE = b"123"
COPY_IN, COPY_OUT, COPY_BOTH = b"GHW"

CANCEL_CODE = 80877102
SSL_CODE = 80877103
GSSENC_CODE = 80877104

HEADER_BYTES = 5
# PostgreSQL's own bounds: MaxAllocSize for messages, MAX_STARTUP_PACKET_LENGTH before log-in.
LARGEST_BYTES = 0x3FFFFFFF
LARGEST_STARTUP_BYTES = 10_000
_TLS_HANDSHAKE = 0x16

_U32 = struct.Struct(">I")
_U16 = struct.Struct(">H")


class WireError(Exception):
    """One clear line: which bytes are not PostgreSQL's protocol, and why."""


class Frame(NamedTuple):
    """One message of a stream."""

    kind: int
    body: bytes
    """As much of it as the framer keeps for its kind."""
    size: int
    """Bytes of the whole body."""
    end: int
    """Position in the stream after its last byte."""
    times: int = 1
    """More than 1: a run of messages that were only counted, taken together."""

    @property
    def start(self) -> int:
        return self.end - self.size - (HEADER_BYTES if self.kind != UNTYPED else 4)


class Framer:
    """Cuts a stream into messages, however it arrives in pieces. Dead after a WireError.

    `keep` bounds how many bytes of a body are kept, by kind (all, when not named). `counted` says
    how many messages of a kind in a row are given one by one; those behind them may be taken
    together. With `startup`, the stream begins with start-up packets: typed messages follow a
    StartupMessage.
    """

    def __init__(
        self,
        *,
        startup: bool = False,
        keep: Mapping[int, int] | None = None,
        counted: Mapping[int, int] | None = None,
    ) -> None:
        self.position = 0
        """Bytes fed so far."""
        self._startup = startup
        self._keep = dict(keep or {})
        self._counted = dict(counted or {})
        self._run = 0
        self._head = b""
        self._missing = 0
        self._kind = UNTYPED
        self._size = 0
        self._body = bytearray()

    @property
    def at_boundary(self) -> bool:
        return not self._missing and not self._head

    @property
    def partial_kind(self) -> int | None:
        """The kind of the message that has begun and not ended; None when there is none yet."""
        return self._kind if self._missing else None

    @property
    def partial_start(self) -> int:
        """Position where that message begins; where the next one will, when there is none."""
        if self._missing:
            return self.position + self._missing - self._size - HEADER_BYTES
        return self.position - len(self._head)

    def feed(self, data: bytes) -> list[Frame]:
        """Raises WireError; the messages of `data` before the malformed one are lost then."""
        frames: list[Frame] = []
        base = self.position
        self.position += len(data)
        at = self._continue(data, base, frames) if self._missing else 0
        if self._missing:
            return frames
        if self._head:
            base -= len(self._head)
            data = self._head + data
            self._head = b""
        if self._startup:
            at = self._feed_startup(data, at, base, frames)
            if self._startup:
                return frames
        self._feed_typed(data, at, base, frames)
        return frames

    def _feed_typed(self, data: bytes, at: int, base: int, frames: list[Frame]) -> None:
        end = len(data)
        keep = self._keep
        length_at = _U32.unpack_from
        while end - at >= HEADER_BYTES:
            kind = data[at]
            (length,) = length_at(data, at + 1)
            if not 4 <= length <= LARGEST_BYTES:
                raise WireError(f"message {_name(kind)} says it has {length} bytes")
            stop = at + 1 + length
            if stop > end:
                self._begin(kind, length - 4, data[at + HEADER_BYTES :])
                return
            body = data[at + HEADER_BYTES : stop]
            if kind in keep:
                body = body[: keep[kind]]
            frames.append(Frame(kind, body, length - 4, base + stop))
            at = stop
            if kind in self._counted:
                self._run += 1
                if self._run >= self._counted[kind]:
                    at = self._count(data, at, base, frames)
            else:
                self._run = 0
        self._head = data[at:]

    def _count(self, data: bytes, at: int, base: int, frames: list[Frame]) -> int:
        """Whole messages of the last one's kind, taken together; answers where they end."""
        kind, first, end, count = frames[-1].kind, at, len(data), 0
        length_at = _U32.unpack_from
        while end - at >= HEADER_BYTES and data[at] == kind:
            (length,) = length_at(data, at + 1)
            if length < 4 or at + 1 + length > end:
                break
            at += 1 + length
            count += 1
        if count:
            frames.append(Frame(kind, b"", at - first - HEADER_BYTES, base + at, count))
        return at

    def _feed_startup(self, data: bytes, at: int, base: int, frames: list[Frame]) -> int:
        """Answers where typed messages begin, once they do."""
        while self._startup and len(data) - at >= 4:
            (length,) = _U32.unpack_from(data, at)
            if not 8 <= length <= LARGEST_STARTUP_BYTES:
                raise WireError(f"a start-up packet says it has {length} bytes")
            stop = at + length
            if stop > len(data):
                break
            body = data[at + 4 : stop]
            frames.append(Frame(UNTYPED, body, length - 4, base + stop))
            self._startup = _U32.unpack_from(body)[0] in (SSL_CODE, GSSENC_CODE)
            at = stop
        if self._startup:
            self._head = data[at:]
        return at

    def _begin(self, kind: int, size: int, first: bytes) -> None:
        self._kind, self._size = kind, size
        self._missing = size - len(first)
        self._body = bytearray(first[: self._keep.get(kind, size)])

    def _continue(self, data: bytes, base: int, frames: list[Frame]) -> int:
        """More of a message that has begun; answers where it ends in `data`."""
        taken = min(self._missing, len(data))
        room = self._keep.get(self._kind, self._size) - len(self._body)
        self._body += data[: min(taken, room)]
        self._missing -= taken
        if not self._missing:
            frames.append(Frame(self._kind, bytes(self._body), self._size, base + taken))
            self._body = bytearray()
        return taken


def looks_like_tls(first: bytes) -> bool:
    """Whether a client begins with a TLS handshake without asking (sslnegotiation=direct)."""
    return first[:1] == bytes([_TLS_HANDSHAKE])


def _name(kind: int) -> str:
    return repr(chr(kind)) if 0x20 < kind < 0x7F else f"0x{kind:02x}"


def typed(kind: int, body: bytes = b"") -> bytes:
    return bytes([kind]) + _U32.pack(len(body) + 4) + body


def untyped(body: bytes) -> bytes:
    return _U32.pack(len(body) + 4) + body


def text(value: str) -> bytes:
    """A string with its terminator; raises WireError for one that cannot be sent."""
    if "\0" in value:
        raise WireError("a string with a zero byte cannot be sent")
    return value.encode() + b"\0"


def startup(parameters: Mapping[str, str], *, version: tuple[int, int] = (3, 0)) -> bytes:
    pairs = b"".join(text(name) + text(value) for name, value in parameters.items())
    return untyped(_U16.pack(version[0]) + _U16.pack(version[1]) + pairs + b"\0")


def ssl_request() -> bytes:
    return untyped(_U32.pack(SSL_CODE))


def gssenc_request() -> bytes:
    return untyped(_U32.pack(GSSENC_CODE))


def cancel_request(pid: int, key: bytes) -> bytes:
    return untyped(_U32.pack(CANCEL_CODE) + _U32.pack(pid) + key)


def query(sql: str) -> bytes:
    return typed(QUERY, text(sql))


def parse(name: str, sql: str, types: Iterable[int] = ()) -> bytes:
    oids = tuple(types)
    packed = b"".join(map(_U32.pack, oids))
    return typed(PARSE, text(name) + text(sql) + _U16.pack(len(oids)) + packed)


def bind(
    portal: str,
    statement: str,
    parameters: Iterable[bytes | None] = (),
    *,
    formats: Iterable[int] = (),
    result_formats: Iterable[int] = (),
) -> bytes:
    values = tuple(parameters)
    packed = b"".join(
        b"\xff\xff\xff\xff" if value is None else _U32.pack(len(value)) + value for value in values
    )
    return typed(
        BIND,
        text(portal)
        + text(statement)
        + _shorts(formats)
        + _U16.pack(len(values))
        + packed
        + _shorts(result_formats),
    )


def describe(of: str, name: str) -> bytes:
    """`of` is "S" for a statement, "P" for a portal."""
    return typed(DESCRIBE, of.encode() + text(name))


def close(of: str, name: str) -> bytes:
    """`of` is "S" for a statement, "P" for a portal."""
    return typed(CLOSE, of.encode() + text(name))


def execute(portal: str, *, most_rows: int = 0) -> bytes:
    return typed(EXECUTE, text(portal) + _U32.pack(most_rows))


def flush() -> bytes:
    return typed(FLUSH)


def sync() -> bytes:
    return typed(SYNC)


def terminate() -> bytes:
    return typed(TERMINATE)


def error_response(fields: Mapping[str, str]) -> bytes:
    """`fields` by their one-letter codes: S severity, V the same untranslated, C SQLSTATE, …"""
    return typed(ERROR, b"".join(k.encode() + text(v) for k, v in fields.items()) + b"\0")


def ready_for_query(status: str) -> bytes:
    return typed(READY_FOR_QUERY, status.encode())


def _shorts(values: Iterable[int]) -> bytes:
    numbers = tuple(values)
    return _U16.pack(len(numbers)) + b"".join(map(_U16.pack, numbers))
