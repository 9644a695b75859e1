"""The file of a batch, read as a person would, and complained of line by line."""

from collections.abc import Sequence
from decimal import Decimal
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.batches.rows_file import (
    MOST_LINE_BYTES,
    MOST_LINES,
    READ_AT_ONCE_BYTES,
    Complaint,
    FileRow,
    read_rows,
)

HEADER = b"recipient_id,amount\n"
TWO_ROWS = [(2, "50.00"), (3, "0.5")]


def read(content: bytes, *, decimals: int = 2) -> Sequence[FileRow | Complaint]:
    return list(read_rows(BytesIO(content), decimals=decimals))


def rows_in(content: bytes) -> list[tuple[int, str]]:
    """Fails for a complaint."""
    return [(row.recipient_id, str(row.amount)) for row in read(content)]  # type: ignore[union-attr]


def complaints_in(content: bytes) -> list[tuple[int, str]]:
    return [(c.line, c.reason) for c in read(content) if isinstance(c, Complaint)]


@pytest.mark.parametrize(
    "content",
    [
        HEADER + b"2,50.00\n3,0.5\n",
        HEADER + b"2,50.00\n3,0.5",
        b"\xef\xbb\xbf" + HEADER + b"2,50.00\n3,0.5\n",
        b"\xef\xbb\xbf\n\n" + HEADER + b"2,50.00\n3,0.5\n",
        b"recipient_id,amount\r\n2,50.00\r\n3,0.5\r\n",
        b"recipient_id,amount\r2,50.00\r3,0.5\r",
        b"\xef\xbb\xbfrecipient_id,amount\r2,50.00\r\n3,0.5",
        b"\n\r\n" + HEADER + b"\n2,50.00\n \t\n,\n\r\n3,0.5\n\n\n",
        b'"recipient_id","amount"\n"2","50.00"\n"3","0.5"\n',
        b' Recipient_ID , AMOUNT\n 2 , 50.00\n3, "0.5" \n',
    ],
)
def test_it_is_read_as_a_person_would(content: bytes) -> None:
    assert rows_in(content) == TWO_ROWS


def test_lines_are_counted_as_an_editor_does() -> None:
    rows = read(b"\n" + HEADER + b"\n2,1\n\n3,1\n")
    assert [row.line for row in rows] == [4, 6]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"2", "has 1 fields"),
        (b"2,1.00,3", "has 3 fields"),
        (b"2;1.00", "has 1 fields"),
        (b"0,1.00", "no wallet's id"),
        (b"-2,1.00", "no wallet's id"),
        (b"two,1.00", "no wallet's id"),
        (b"2.0,1.00", "no wallet's id"),
        (b"9223372036854775808,1.00", "no wallet's id"),
        ("\u0662,1.00".encode(), "no wallet's id"),
        (b"=2,1.00", "no wallet's id"),
        (b"@SUM(A1),1.00", "no wallet's id"),
        (b"2,=1+1", "no decimal number"),
        (b"2,\t-1", "no decimal number"),
        (b"\x002,1.00", "no wallet's id"),
        (b",1.00", "no wallet's id"),
        (b"2,", "no decimal number"),
        (b"2,-1.00", "no decimal number"),
        (b"2,+1", "no decimal number"),
        (b"2,NaN", "no decimal number"),
        (b"2,Infinity", "no decimal number"),
        (b"2,1e3", "no decimal number"),
        (b'2,"1,50"', "no decimal number"),
        (b"2,1.", "no decimal number"),
        (b"2,.5", "no decimal number"),
        (b"2,0x10", "no decimal number"),
        (b"2," + b"9" * 400, "no decimal number"),
        (b"2,1.001", "more than 2 decimals"),
        (b"2,0", "zero"),
        (b"2,0.00", "zero"),
        (b"2,90071992547409.92", "too large"),
        (b"2,\xff", "not UTF-8"),
        ("2,1.00\u00e9".encode("latin-1"), "not UTF-8"),
        (b'2,"1.00', "no CSV"),
        (b'2,"1"00', "no CSV"),
        (b"2,1.00\x00", "no decimal number"),
        (b"2," + b"1" * MOST_LINE_BYTES, "longer than"),
    ],
)
def test_a_wrong_line_is_named_and_the_next_is_read(line: bytes, words: str) -> None:
    found = read(HEADER + b"2,1\n" + line + b"\n3,2\n")
    assert [one.line for one in found] == [2, 3, 4]
    complaint = found[1]
    assert isinstance(complaint, Complaint)
    assert words in complaint.reason
    assert isinstance(found[2], FileRow)


def test_the_largest_amount_fits() -> None:
    assert rows_in(HEADER + b"2,90071992547409.91\n") == [(2, "90071992547409.91")]


@pytest.mark.parametrize(
    "content", [b"2,50.00\n", b"amount,recipient_id\n2,50\n", b"id\n", b"\xff\xferecipient_id\n"]
)
def test_a_wrong_header_is_named(content: bytes) -> None:
    assert complaints_in(content)[0][0] == 1


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n"])
def test_an_empty_file_is_said_to_be_empty(content: bytes) -> None:
    assert [words for _, words in complaints_in(content)] == ["the file is empty"]


def test_a_line_of_ten_megabytes_is_not_read_into_memory() -> None:
    largest = 0

    class Watched(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal largest
            found = super().read(size)
            largest = max(largest, len(found))
            return found

    file = Watched(HEADER + b"2," + b"1" * 10_000_000 + b"\n3,1\n")
    found = list(read_rows(file, decimals=2))
    assert [one.line for one in found] == [2, 3]
    assert largest < 100_000


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("length", range(READ_AT_ONCE_BYTES - 2, READ_AT_ONCE_BYTES + 3))
def test_a_line_may_end_where_a_piece_of_the_file_does(end: bytes, length: int) -> None:
    """Blank lines in front of the header, so that its end is the byte with that number."""
    header = b"recipient_id,amount" + end
    blank = b" " * 500 + b"\n"
    rest = length - len(header)
    content = blank * (rest // len(blank)) + b"\t" * (rest % len(blank)) + header
    found = read(content + b"2,50.00" + end + b"3,0.5" + end)
    assert [(one.line - rest // len(blank), type(one)) for one in found] == [
        (2, FileRow),
        (3, FileRow),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("length", [MOST_LINE_BYTES + 1, 65_533, 65_534, 65_535, 65_536, 200_000])
def test_a_line_that_is_too_long_is_one_line(end: bytes, length: int) -> None:
    found = read(HEADER + b"1" * length + end + b"3,0.5" + end)
    assert [(one.line, type(one)) for one in found] == [(2, Complaint), (3, FileRow)]


def test_a_line_break_in_quotes_is_named_where_it_is() -> None:
    found = complaints_in(HEADER + b'2,"50\n.00"\n3,0.5\n')
    assert [line for line, _ in found] == [2, 3]


def test_a_file_of_blank_lines_is_not_read_for_ever() -> None:
    found = complaints_in(HEADER + b"\n" * (MOST_LINES + 500) + b"2,1\n")
    assert found == [(MOST_LINES + 1, "the file has more than 1000000 lines")]


@given(st.lists(st.tuples(st.integers(1, 2**63 - 1), st.integers(1, 2**53 - 1)), min_size=1))
def test_what_is_written_is_read(rows: list[tuple[int, int]]) -> None:
    lines = [f"{wallet},{Decimal(minor).scaleb(-2):f}\n" for wallet, minor in rows]
    found = read(HEADER + "".join(lines).encode())
    assert [(r.recipient_id, r.amount.scaleb(2)) for r in found] == rows  # type: ignore[union-attr]


@given(st.binary(max_size=300))
def test_whatever_comes_no_line_is_lost_or_told_twice(content: bytes) -> None:
    lines = [one.line for one in read(HEADER + content)]
    assert lines == sorted(set(lines))
    assert all(1 <= line <= content.count(b"\n") + content.count(b"\r") + 2 for line in lines)
