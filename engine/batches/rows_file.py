"""The file of a batch, pure: bytes in, rows and complaints out, a line at a time.

CSV as RFC 4180 has it, without line breaks inside quotes; a byte order mark, CRLF, blank lines and
quoted fields are read as a person would. A complaint never quotes what was sent.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import BinaryIO

from engine.money import LARGEST_AMOUNT

HEADER = ["recipient_id", "amount"]
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MOST_LINE_BYTES = 1000
MOST_LINES = 1_000_000
"""Blank ones included."""
READ_AT_ONCE_BYTES = 64 * 1024
LARGEST_ID = 2**63 - 1
ID = re.compile(r"[0-9]{1,19}", re.ASCII)
AMOUNT = re.compile(r"[0-9]{1,17}(?:\.([0-9]{1,9}))?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """One payment as the file has it."""

    line: int
    """Of the file, from 1, the header included."""
    recipient_id: int
    amount: Decimal
    """In major units."""


@dataclass(frozen=True, kw_only=True)
class Complaint:
    line: int
    reason: str


class _Wrong(Exception):  # noqa: N818 - the line is wrong; that is the whole story
    """Why a line is no row."""


def read_rows(file: BinaryIO, *, decimals: int) -> Iterator[FileRow | Complaint]:
    """Every line but the blank ones, as a row or as what is wrong with it.

    `decimals` is how many the asset has. The file is read from its start.
    """
    header_is_due = True
    line = 0
    for line, content in _lines(file):
        if line > MOST_LINES:
            yield Complaint(line=line, reason=f"the file has more than {MOST_LINES} lines")
            return
        try:
            fields = _fields(content)
            if fields and header_is_due:
                header_is_due = False
                _check_header(fields)
            elif fields:
                yield _row(line, fields, decimals)
        except _Wrong as wrong:
            header_is_due = False
            yield Complaint(line=line, reason=str(wrong))
    if header_is_due:
        yield Complaint(line=line or 1, reason="the file is empty")


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Numbered from 1. A line that is too long is None, and never in memory as a whole.

    A line ends with LF, CRLF or, as old spreadsheets for the Macintosh have it, CR.
    """
    if file.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
        file.seek(0)
    number = 0
    begun, too_long = b"", False
    while piece := file.read(READ_AT_ONCE_BYTES):
        lines = (begun + piece).splitlines(keepends=True)
        # What has no end yet; its CR may be half of a CRLF.
        begun = b"" if lines[-1].endswith(b"\n") else lines.pop()
        for line in lines:
            number += 1
            yield number, None if too_long else line
            too_long = False
        if len(begun) > MOST_LINE_BYTES:
            begun, too_long = begun[-1:], True
    if begun or too_long:
        yield number + 1, None if too_long else begun


def _fields(content: bytes | None) -> Sequence[str]:
    """Empty for a blank line. Raises _Wrong."""
    if content is None or len(content.rstrip(b"\r\n")) > MOST_LINE_BYTES:
        raise _Wrong(f"the line is longer than {MOST_LINE_BYTES} bytes")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError as error:
        raise _Wrong("the line is not UTF-8") from error
    if not text:
        return []
    try:
        rows = list(csv.reader([text], strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise _Wrong("the line is no CSV: look at its quotes") from error
    fields = [field.strip() for row in rows for field in row]
    return fields if any(fields) else []


def _check_header(fields: Sequence[str]) -> None:
    if [field.lower() for field in fields] != HEADER:
        raise _Wrong(f"the header is not {','.join(HEADER)}")


def _row(line: int, fields: Sequence[str], decimals: int) -> FileRow:
    if len(fields) != len(HEADER):
        raise _Wrong(f"the line has {len(fields)} fields instead of {len(HEADER)}")
    recipient, amount = fields
    if not ID.fullmatch(recipient) or not 0 < int(recipient) <= LARGEST_ID:
        raise _Wrong("recipient_id is no wallet's id")
    return FileRow(line=line, recipient_id=int(recipient), amount=_amount(amount, decimals))


def _amount(text: str, decimals: int) -> Decimal:
    found = AMOUNT.fullmatch(text)
    if not found:
        raise _Wrong("amount is no decimal number such as 50.00")
    if len(found.group(1) or "") > decimals:
        raise _Wrong(f"amount has more than {decimals} decimals")
    amount = Decimal(text)
    if not amount:
        raise _Wrong("amount is zero")
    if amount.scaleb(decimals) > LARGEST_AMOUNT:
        raise _Wrong("amount is too large")
    return amount
