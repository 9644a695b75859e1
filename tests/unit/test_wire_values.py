"""Binary values as PostgreSQL prints them; the integration tests ask PostgreSQL itself."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attacks.postgres import values
from attacks.postgres.values import printed


@given(st.binary(max_size=40), st.sampled_from([*values.ARRAY_ELEMENTS, *range(16, 4000, 7)]))
def test_no_bytes_raise(value: bytes, type_oid: int) -> None:
    assert isinstance(printed(value, type_oid, 1), str)
    assert isinstance(printed(value, type_oid, 0), str)


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers(number: int) -> None:
    assert printed(struct.pack(">q", number), values.INT8, 1) == str(number)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(3.4025001647762064e38)
def test_the_shortest_digits_of_a_float4_come_back(number: float) -> None:
    raw = struct.pack(">f", number)
    assert struct.pack(">f", float(printed(raw, values.FLOAT4, 1) or "")) == raw


@given(st.lists(st.none() | st.text(max_size=5), max_size=4))
def test_arrays_of_text(elements: list[str | None]) -> None:
    """What is quoted comes back when the quotes are taken away again."""
    packed = b"".join(
        b"\xff\xff\xff\xff" if e is None else struct.pack(">i", len(e.encode())) + e.encode()
        for e in elements
    )
    header = struct.pack(">iiIii", 1, 0, values.TEXT, len(elements), 1)
    shown = printed(header + packed, 1009, 1)
    assert shown is not None
    assert _parsed(shown) == elements


def _parsed(shown: str) -> list[str | None]:
    assert (shown[0], shown[-1]) == ("{", "}")
    found: list[str | None] = []
    text, quoted, was_quoted, at = "", False, False, 1
    while at < len(shown):
        letter = shown[at]
        if quoted and letter == "\\":
            at += 1
            text += shown[at]
        elif letter == '"':
            quoted, was_quoted = not quoted, True
        elif not quoted and letter in ",}" and (letter == "," or at == len(shown) - 1):
            if text or was_quoted:
                found.append(text if was_quoted or text != "NULL" else None)
            text, was_quoted = "", False
        else:
            text += letter
        at += 1
    return found


@pytest.mark.parametrize(
    ("value", "type_oid", "expected"),
    [
        (b"\x01", values.BOOL, "t"),
        (b"\x00", values.BOOL, "f"),
        (struct.pack(">d", 1.0), values.FLOAT8, "1"),
        (struct.pack(">d", float("inf")), values.FLOAT8, "Infinity"),
        (struct.pack(">d", float("nan")), values.FLOAT8, "NaN"),
        (struct.pack(">f", 0.1), values.FLOAT4, "0.1"),
        (b"\xde\xad", values.BYTEA, "\\xdead"),
        (b"\x01{}", values.JSONB, "{}"),
        (b"\x02{}", values.JSONB, "\\x027b7d"),
        (b"\0\0", values.INT4, "\\x0000"),
        (b"\0\0", 99_999, "\\x0000"),
        (struct.pack(">HhHHHH", 2, 0, 0x4000, 2, 12, 3400), values.NUMERIC, "-12.34"),
        (struct.pack(">HhHHH", 1, 1, 0, 0, 5), values.NUMERIC, "50000"),
        (struct.pack(">HhHHH", 1, -2, 0, 8, 7), values.NUMERIC, "0.00000007"),
        (struct.pack(">HhHH", 0, 0, 0xC000, 0), values.NUMERIC, "NaN"),
        (struct.pack(">HhHH", 0, 0, 0, 2), values.NUMERIC, "0.00"),
        (struct.pack(">i", 0), values.DATE, "2000-01-01"),
        (struct.pack(">i", 0x7FFFFFFF), values.DATE, "infinity"),
        (struct.pack(">q", -0x8000000000000000), values.TIMESTAMPTZ, "-infinity"),
        (struct.pack(">q", 1_500_000), values.TIMESTAMPTZ, "2000-01-01 00:00:01.5+00"),
        (struct.pack(">q", 0), values.TIMESTAMP, "2000-01-01 00:00:00"),
        (struct.pack(">iiI", 0, 0, 20), 1016, "{}"),
    ],
)
def test_as_postgresql_prints_it(value: bytes, type_oid: int, expected: str) -> None:
    assert printed(value, type_oid, 1) == expected


def test_null_and_text_as_it_came() -> None:
    assert printed(None, values.INT8, 1) is None
    assert printed("12.50 €".encode(), values.NUMERIC, 0) == "12.50 €"


@pytest.mark.parametrize(("formats", "expected"), [((), [0, 0]), ((1,), [1, 1]), ((0, 1), [0, 1])])
def test_formats_none_one_or_each(formats: tuple[int, ...], expected: list[int]) -> None:
    assert [values.format_of(formats, index) for index in range(2)] == expected
