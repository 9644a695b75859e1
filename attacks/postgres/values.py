"""Values as PostgreSQL prints them, from their text or binary form on the wire.

Binary forms are those of PostgreSQL's `*send` functions. What is not known, or does not have the
length that its type asks for, comes out as "\\x…", the way PostgreSQL prints bytea.
"""

import datetime
import decimal
import math
import struct
import uuid
from collections.abc import Callable, Sequence

BOOL, BYTEA, CHAR, NAME, INT8, INT2, INT4, TEXT, OID = 16, 17, 18, 19, 20, 21, 23, 25, 26
JSON, XML, FLOAT4, FLOAT8, UNKNOWN, BPCHAR, VARCHAR = 114, 142, 700, 701, 705, 1042, 1043
DATE, TIME, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID, JSONB = 1082, 1083, 1114, 1184, 1700, 2950, 3802

ARRAY_ELEMENTS = {
    1000: BOOL,
    1005: INT2,
    1007: INT4,
    1009: TEXT,
    1014: BPCHAR,
    1015: VARCHAR,
    1016: INT8,
    1021: FLOAT4,
    1022: FLOAT8,
    1115: TIMESTAMP,
    1182: DATE,
    1185: TIMESTAMPTZ,
    1231: NUMERIC,
    2951: UUID,
}
MOST_DIMENSIONS = 6
_EPOCH = datetime.datetime(2000, 1, 1)  # noqa: DTZ001 - PostgreSQL counts from it, with no zone
_NUMERIC_SIGNS = {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}


def printed(value: bytes | None, type_oid: int, form: int) -> str | None:
    """`form` is 0 for text and 1 for binary. Never raises."""
    if value is None:
        return None
    if form == 0:
        return value.decode(errors="replace")
    decode = _DECODERS.get(type_oid)
    if decode is None and type_oid in ARRAY_ELEMENTS:
        decode = _array
    if decode is None:
        return _hex(value)
    try:
        return decode(value)
    except (struct.error, ValueError, OverflowError):
        return _hex(value)


def format_of(formats: Sequence[int], index: int) -> int:
    """None are all text, one is for all."""
    if len(formats) == 1:
        return formats[0]
    return formats[index] if index < len(formats) else 0


def _hex(value: bytes) -> str:
    return "\\x" + value.hex()


def _integer(layout: str) -> Callable[[bytes], str]:
    return lambda value: str(struct.unpack(layout, value)[0])


def _bool(value: bytes) -> str:
    return "t" if struct.unpack(">?", value)[0] else "f"


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _float8(value: bytes) -> str:
    (number,) = struct.unpack(">d", value)
    return _special(number) or _digits(repr(number), fixed_below=15)


def _float4(value: bytes) -> str:
    """The shortest digits that come back as the same four bytes."""
    (number,) = struct.unpack(">f", value)
    if special := _special(number):
        return special
    rounded = (f"{number:.{digits}g}" for digits in range(1, 10))
    shown = next(shown for shown in rounded if _packed(shown) == value)
    return _digits(shown, fixed_below=6)


def _packed(shown: str) -> bytes:
    """Empty when rounding has made it too large for four bytes."""
    try:
        return struct.pack(">f", float(shown))
    except OverflowError:
        return b""


def _special(number: float) -> str | None:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return None


def _digits(shown: str, *, fixed_below: int) -> str:
    """As `double_to_shortest_decimal` lays digits out: fixed from 1e-4 to an exponent, else not."""
    number = decimal.Decimal(shown)
    if not number:
        return "-0" if number.is_signed() else "0"
    sign, digits, exponent = number.normalize().as_tuple()
    magnitude = len(digits) + int(exponent) - 1
    if -4 <= magnitude < fixed_below:
        return f"{number.normalize():f}"
    first, rest = digits[0], "".join(map(str, digits[1:]))
    mantissa = f"{first}.{rest}" if rest else str(first)
    return f"{'-' if sign else ''}{mantissa}e{magnitude:+03d}"


def _date(value: bytes) -> str:
    (days,) = struct.unpack(">i", value)
    if days in (0x7FFFFFFF, -0x80000000):
        return "infinity" if days > 0 else "-infinity"
    return (_EPOCH + datetime.timedelta(days=days)).date().isoformat()


def _timestamp(value: bytes) -> str:
    (micros,) = struct.unpack(">q", value)
    if micros in (0x7FFFFFFFFFFFFFFF, -0x8000000000000000):
        return "infinity" if micros > 0 else "-infinity"
    moment = _EPOCH + datetime.timedelta(microseconds=micros)
    return _fraction(moment.isoformat(sep=" "))


def _timestamptz(value: bytes) -> str:
    """In UTC, whatever zone the session has."""
    shown = _timestamp(value)
    return shown if shown.endswith("infinity") else shown + "+00"


def _time(value: bytes) -> str:
    (micros,) = struct.unpack(">q", value)
    moment = (_EPOCH + datetime.timedelta(microseconds=micros)).time()
    return _fraction(moment.isoformat())


def _fraction(shown: str) -> str:
    return shown.rstrip("0") if "." in shown else shown


def _numeric(value: bytes) -> str:
    """`numeric_send`: groups of four digits, the first worth 10000 to the power of `weight`."""
    count, weight, sign, scale = struct.unpack_from(">HhHH", value)
    groups = struct.unpack(f">{count}H", value[8:])
    if sign in _NUMERIC_SIGNS:
        return _NUMERIC_SIGNS[sign]
    if sign not in (0, 0x4000) or any(group > 9999 for group in groups):
        raise ValueError("not a numeric")
    digits = "".join(f"{group:04d}" for group in groups)
    point = (weight + 1) * 4
    whole = digits[: max(point, 0)].ljust(max(point, 0), "0").lstrip("0") or "0"
    decimals = "0" * max(-point, 0) + digits[max(point, 0) :]
    decimals = decimals[:scale].ljust(scale, "0")
    shown = f"{whole}.{decimals}" if scale else whole
    return f"-{shown}" if sign else shown


def _uuid(value: bytes) -> str:
    return str(uuid.UUID(bytes=value))


def _jsonb(value: bytes) -> str:
    if value[:1] != b"\x01":
        raise ValueError("not a jsonb of version 1")
    return _text(value[1:])


def _array(value: bytes) -> str:
    dimensions, _, element_oid = struct.unpack_from(">iiI", value)
    if dimensions == 0:
        return "{}"
    if not 0 < dimensions <= MOST_DIMENSIONS or element_oid not in ARRAY_ELEMENTS.values():
        raise ValueError("not an array of a known type")
    lengths, bounds = [], []
    for index in range(dimensions):
        length, bound = struct.unpack_from(">ii", value, 12 + 8 * index)
        lengths.append(length)
        bounds.append(bound)
    elements = _elements(value, 12 + 8 * dimensions, element_oid)
    if len(elements) != math.prod(lengths):
        raise ValueError("not as many elements as it says")
    if not elements:
        return "{}"
    for length in reversed(lengths):
        elements = [
            "{" + ",".join(elements[i : i + length]) + "}" for i in range(0, len(elements), length)
        ]
    moved = any(bound != 1 for bound in bounds)
    ranges = (f"[{b}:{b + n - 1}]" for b, n in zip(bounds, lengths, strict=True))
    return "".join(ranges) + "=" + elements[0] if moved else elements[0]


def _elements(value: bytes, at: int, element_oid: int) -> list[str]:
    found = []
    while at < len(value):
        (length,) = struct.unpack_from(">i", value, at)
        at += 4
        if length < -1 or at + length > len(value):
            raise ValueError("an element ends too late")
        shown = None if length == -1 else printed(value[at : at + length], element_oid, 1)
        found.append("NULL" if shown is None else _quoted(shown))
        at += max(length, 0)
    return found


def _quoted(element: str) -> str:
    plain = element and element.upper() != "NULL" and not set(element) & set('{}",\\ \t\n\r\v\f')
    if plain:
        return element
    escaped = element.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_DECODERS: dict[int, Callable[[bytes], str]] = {
    BOOL: _bool,
    BYTEA: _hex,
    CHAR: _text,
    NAME: _text,
    INT8: _integer(">q"),
    INT2: _integer(">h"),
    INT4: _integer(">i"),
    TEXT: _text,
    OID: _integer(">I"),
    JSON: _text,
    XML: _text,
    FLOAT4: _float4,
    FLOAT8: _float8,
    UNKNOWN: _text,
    BPCHAR: _text,
    VARCHAR: _text,
    DATE: _date,
    TIME: _time,
    TIMESTAMP: _timestamp,
    TIMESTAMPTZ: _timestamptz,
    NUMERIC: _numeric,
    UUID: _uuid,
    JSONB: _jsonb,
}
