"""What the bodies of PostgreSQL's messages say: pure functions over bytes.

Every function takes a message's body and raises nothing but `WireError`.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

from attacks.postgres.trace import TransactionStatus
from attacks.postgres.wire import CANCEL_CODE, GSSENC_CODE, SSL_CODE, WireError

_U32 = struct.Struct(">I")
_I32 = struct.Struct(">i")
_U16 = struct.Struct(">H")
_STATUSES: dict[bytes, TransactionStatus] = {b"I": "I", b"T": "T", b"E": "E"}
_COLUMN = struct.Struct(">IHIhiH")


@dataclass(frozen=True, kw_only=True)
class Startup:
    """A StartupMessage."""

    version: tuple[int, int]
    parameters: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """A CancelRequest; keys have 4 bytes in protocol 3.0 and up to 256 in 3.2."""

    pid: int
    key: bytes


@dataclass(frozen=True, kw_only=True)
class EncryptionRequest:
    """An SSLRequest or a GSSENCRequest."""

    gss: bool


@dataclass(frozen=True, kw_only=True)
class Parse:
    name: str
    sql: str
    types: tuple[int, ...]
    """Type OIDs of the first parameters; 0 leaves one open."""


@dataclass(frozen=True, kw_only=True)
class Bind:
    portal: str
    statement: str
    formats: tuple[int, ...]
    """0 text, 1 binary: none (all text), one for all, or one for each parameter."""
    parameters: tuple[bytes | None, ...]
    result_formats: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Execute:
    portal: str
    most_rows: int
    """0 for all."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """A Describe or a Close: "S" and a statement's name or "P" and a portal's."""

    of: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a RowDescription."""

    name: str
    type_oid: int
    format: int


@dataclass(frozen=True, kw_only=True)
class KeyData:
    pid: int
    key: bytes


@dataclass(frozen=True, kw_only=True)
class Negotiation:
    """A NegotiateProtocolVersion."""

    minor: int
    unknown_options: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CopyStart:
    """A CopyInResponse, CopyOutResponse or CopyBothResponse."""

    binary: bool
    column_formats: tuple[int, ...]


class _Body:
    """Reads a body from its beginning; every read beyond its end is a WireError."""

    def __init__(self, body: bytes, message: str) -> None:
        self._body = body
        self._message = message
        self._at = 0

    def text(self) -> str:
        stop = self._body.find(0, self._at)
        if stop < 0:
            raise WireError(f"a string of {self._message} has no end")
        value = self._body[self._at : stop].decode(errors="replace")
        self._at = stop + 1
        return value

    def u16(self) -> int:
        return int(self._number(_U16))

    def u32(self) -> int:
        return int(self._number(_U32))

    def i32(self) -> int:
        return int(self._number(_I32))

    def take(self, count: int) -> bytes:
        if count < 0 or self._at + count > len(self._body):
            raise WireError(f"{self._message} ends too early")
        value = self._body[self._at : self._at + count]
        self._at += count
        return value

    def rest(self) -> bytes:
        value = self._body[self._at :]
        self._at = len(self._body)
        return value

    def u16s(self) -> tuple[int, ...]:
        count = self.u16()
        return struct.unpack(f">{count}H", self.take(2 * count))

    def _number(self, kind: struct.Struct) -> int:
        try:
            (value,) = kind.unpack_from(self._body, self._at)
        except struct.error as error:
            raise WireError(f"{self._message} ends too early") from error
        self._at += kind.size
        return int(value)


def startup_packet(body: bytes) -> Startup | Cancel | EncryptionRequest:
    reader = _Body(body, "a start-up packet")
    code = reader.u32()
    if code in (SSL_CODE, GSSENC_CODE):
        return EncryptionRequest(gss=code == GSSENC_CODE)
    if code == CANCEL_CODE:
        return Cancel(pid=reader.u32(), key=reader.rest())
    major, minor = code >> 16, code & 0xFFFF
    if major != 3:
        raise WireError(f"a start-up packet asks for protocol {major}.{minor}; only 3 is known")
    parameters: dict[str, str] = {}
    while name := reader.text():
        parameters[name] = reader.text()
    return Startup(version=(major, minor), parameters=parameters)


def query(body: bytes) -> str:
    return _text(body, "a Query")


def parse(body: bytes) -> Parse:
    reader = _Body(body, "a Parse")
    name, sql = reader.text(), reader.text()
    count = reader.u16()
    types = struct.unpack(f">{count}I", reader.take(4 * count))
    return Parse(name=name, sql=sql, types=types)


def bind(body: bytes) -> Bind:
    reader = _Body(body, "a Bind")
    portal, statement = reader.text(), reader.text()
    formats = reader.u16s()
    parameters = _values(reader)
    return Bind(
        portal=portal,
        statement=statement,
        formats=formats,
        parameters=parameters,
        result_formats=reader.u16s(),
    )


def execute(body: bytes) -> Execute:
    reader = _Body(body, "an Execute")
    return Execute(portal=reader.text(), most_rows=reader.u32())


def named(body: bytes) -> Named:
    reader = _Body(body, "a Describe or a Close")
    of = reader.take(1).decode("latin-1")
    return Named(of=of, name=reader.text())


def function_oid(body: bytes) -> int:
    return _Body(body, "a FunctionCall").u32()


def copy_fail(body: bytes) -> str:
    return _Body(body, "a CopyFail").text()


def authentication_code(body: bytes) -> int:
    """0 for accepted, 10 for SASL, …"""
    return _Body(body, "an Authentication").u32()


@lru_cache(maxsize=256)
def row_description(body: bytes) -> tuple[Column, ...]:
    reader = _Body(body, "a RowDescription")
    columns = []
    for _ in range(reader.u16()):
        name = reader.text()
        _, _, type_oid, _, _, form = _COLUMN.unpack(reader.take(_COLUMN.size))
        columns.append(Column(name=name, type_oid=type_oid, format=form))
    return tuple(columns)


def data_row(body: bytes, size: int) -> tuple[bytes | None, ...]:
    """`size` is the whole body's. If it was not kept whole, values are cut off or empty."""
    if len(body) == size:
        return _row(body)
    reader = _Body(body, "a DataRow")
    values: list[bytes | None] = []
    for _ in range(reader.u16()):
        try:
            length = reader.i32()
            values.append(None if length < 0 else reader.take(length))
        except WireError:
            values.append(reader.rest())
    return tuple(values)


def _row(body: bytes) -> tuple[bytes | None, ...]:
    values: list[bytes | None] = []
    at = _U16.size
    try:
        (count,) = _U16.unpack_from(body)
        for _ in range(count):
            (length,) = _I32.unpack_from(body, at)
            at += _I32.size + max(length, 0)
            values.append(None if length < 0 else body[at - length : at])
    except struct.error as error:
        raise WireError("a DataRow ends too early") from error
    if at > len(body):
        raise WireError("a DataRow ends too early")
    return tuple(values)


def command_tag(body: bytes) -> str:
    return _text(body, "a CommandComplete")


def fields(body: bytes) -> dict[str, str]:
    """Of an ErrorResponse or a NoticeResponse, by their one-letter codes."""
    reader = _Body(body, "an ErrorResponse")
    found: dict[str, str] = {}
    while (code := reader.take(1)) != b"\0":
        found[code.decode("latin-1")] = reader.text()
    return found


def transaction_status(body: bytes) -> TransactionStatus:
    status = _STATUSES.get(body)
    if status is None:
        raise WireError(f"a ReadyForQuery says {body[:5]!r}")
    return status


def key_data(body: bytes) -> KeyData:
    reader = _Body(body, "a BackendKeyData")
    return KeyData(pid=reader.u32(), key=reader.rest())


def parameter_status(body: bytes) -> tuple[str, str]:
    reader = _Body(body, "a ParameterStatus")
    return reader.text(), reader.text()


def parameter_description(body: bytes) -> tuple[int, ...]:
    reader = _Body(body, "a ParameterDescription")
    count = reader.u16()
    return struct.unpack(f">{count}I", reader.take(4 * count))


def negotiation(body: bytes) -> Negotiation:
    reader = _Body(body, "a NegotiateProtocolVersion")
    minor = reader.u32() & 0xFFFF
    count = reader.u32()
    options = []
    for _ in range(count):
        options.append(reader.text())  # noqa: PERF401 - a count that lies must not allocate
    return Negotiation(minor=minor, unknown_options=tuple(options))


def copy_start(body: bytes) -> CopyStart:
    reader = _Body(body, "a CopyInResponse")
    binary = reader.take(1) != b"\0"
    return CopyStart(binary=binary, column_formats=reader.u16s())


def _text(body: bytes, message: str) -> str:
    """The string with which a body begins."""
    stop = body.find(0)
    if stop < 0:
        raise WireError(f"a string of {message} has no end")
    return body[:stop].decode(errors="replace")


def _values(reader: _Body) -> tuple[bytes | None, ...]:
    values: list[bytes | None] = []
    for _ in range(reader.u16()):
        length = reader.i32()
        values.append(None if length == -1 else reader.take(length))
    return tuple(values)
