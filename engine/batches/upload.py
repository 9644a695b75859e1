"""Giving a batch its rows: checked line by line, stored as a whole, and frozen."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.assets import Asset
from engine.batches.rows_file import Complaint, FileRow, read_rows
from engine.batches.store import Batch
from engine.money import LARGEST_AMOUNT, Money
from engine.refusals import BATCH_FROZEN, ROWS_DOUBLE, ROWS_INVALID, TOO_LARGE, Refused
from engine.unit_of_work import commit

MOST_ROWS = 100_000
INSERTED_AT_ONCE = 1000
MOST_SHOWN = 100
"""Lines that a refusal names; the rest is counted."""

LOCK = sa.text("SELECT file_sha256 FROM batches WHERE id = :batch_id FOR NO KEY UPDATE")
INSERT = sa.text(
    "INSERT INTO batch_rows (batch_id, row_index, line, recipient_id, amount) "
    "SELECT :batch_id, * FROM unnest(CAST(:indexes AS integer[]), CAST(:lines AS integer[]), "
    "CAST(:recipients AS bigint[]), CAST(:amounts AS numeric[]))"
)
# What only the database knows to be wrong with a line.
WRONG_RECIPIENTS = """
FROM (
    SELECT r.line, CASE
        WHEN w.id IS NULL THEN 'there is no such wallet'
        WHEN w.id = :source THEN 'the wallet pays itself'
        WHEN w.asset_type_id <> :asset THEN 'the wallet holds another asset'
        WHEN w.status <> 'active' THEN 'the wallet is ' || w.status
    END AS reason
    FROM batch_rows r LEFT JOIN wallets w ON w.id = r.recipient_id
    WHERE r.batch_id = :batch_id
) AS checked
WHERE reason IS NOT NULL
"""
DOUBLES = """
FROM (
    SELECT line, 'the same recipient and amount as in line ' || first_line AS reason
    FROM (
        SELECT line, min(line) OVER (PARTITION BY recipient_id, amount) AS first_line
        FROM batch_rows WHERE batch_id = :batch_id
    ) AS rows
    WHERE line <> first_line
) AS doubles
"""
FREEZE = sa.text(
    "UPDATE batches SET file_sha256 = :sha256, item_count = counted.item_count, "
    "total_amount = counted.total_amount "
    "FROM (SELECT count(*) AS item_count, sum(amount) AS total_amount "
    "      FROM batch_rows WHERE batch_id = :batch_id) AS counted "
    "WHERE id = :batch_id"
)


@dataclass(kw_only=True)
class _Wrong:
    """Complaints about lines: some to show, and how many there are."""

    shown: list[Complaint]
    count: int = 0

    def add(self, complaint: Complaint) -> None:
        self.count += 1
        if len(self.shown) < MOST_SHOWN:
            self.shown.append(complaint)

    def add_found(self, session: Session, condition: str, values: dict[str, Any]) -> None:
        """Lines that a query finds."""
        count = session.execute(sa.text(f"SELECT count(*) {condition}"), values).scalar_one()
        if count:
            some = sa.text(f"SELECT line, reason {condition} ORDER BY line LIMIT {MOST_SHOWN}")
            self.shown += [
                Complaint(line=row.line, reason=row.reason) for row in session.execute(some, values)
            ]
            self.count += count


def store_rows(  # noqa: PLR0913 - what an upload is made of
    session: Session,
    batch: Batch,
    file: BinaryIO,
    *,
    sha256: str,
    asset: Asset,
    money: Money,
    doubles_confirmed: bool,
) -> bool:
    """Store and freeze the file's rows; False when this very file is there already.

    All or nothing, and nothing of the file is in memory but a few rows. Raises Refused: another
    file is there, too many rows, wrong lines, or doubles that nobody has confirmed.
    """
    stored = session.execute(LOCK, {"batch_id": batch.id}).scalar_one()
    if stored is not None:
        session.rollback()
        if stored == sha256:
            return False
        raise Refused(BATCH_FROZEN, "the batch has its rows, and they were others")
    wrong = _Wrong(shown=[])
    rows = _good_rows(read_rows(file, decimals=asset.decimals), wrong)
    stored_count = _insert(session, batch.id, rows, money, asset.decimals)
    values = {"batch_id": batch.id, "source": batch.source_wallet_id, "asset": asset.id}
    wrong.add_found(session, WRONG_RECIPIENTS, values)
    if not stored_count and not wrong.count:
        wrong.add(Complaint(line=1, reason="the file has no rows"))
    if wrong.count:
        raise _refusal(ROWS_INVALID, "not valid", wrong)
    if not doubles_confirmed:
        _refuse_doubles(session, batch.id)
    session.execute(FREEZE, {"batch_id": batch.id, "sha256": sha256})
    _refuse_large_total(session, batch.id)
    commit(session)
    return True


def _good_rows(found: Iterable[FileRow | Complaint], wrong: _Wrong) -> Iterator[FileRow]:
    for row in found:
        if isinstance(row, Complaint):
            wrong.add(row)
        else:
            yield row


def _insert(
    session: Session, batch_id: int, rows: Iterator[FileRow], money: Money, decimals: int
) -> int:
    count = 0
    while chunk := list(islice(rows, INSERTED_AT_ONCE)):
        values = {
            "batch_id": batch_id,
            "indexes": [count + position for position in range(1, len(chunk) + 1)],
            "lines": [row.line for row in chunk],
            "recipients": [row.recipient_id for row in chunk],
            "amounts": [money.of_decimal(row.amount, decimals) for row in chunk],
        }
        count += len(chunk)
        if count > MOST_ROWS:
            raise Refused(TOO_LARGE, f"a batch has at most {MOST_ROWS} rows")
        session.execute(INSERT, values)
    return count


def _refuse_doubles(session: Session, batch_id: int) -> None:
    doubles = _Wrong(shown=[])
    doubles.add_found(session, DOUBLES, {"batch_id": batch_id})
    if doubles.count:
        words = "there before; if that is meant, send the file with confirm_duplicates=true"
        raise _refusal(ROWS_DOUBLE, words, doubles)


def _refuse_large_total(session: Session, batch_id: int) -> None:
    statement = sa.text("SELECT total_amount FROM batches WHERE id = :batch_id")
    if session.execute(statement, {"batch_id": batch_id}).scalar_one() > LARGEST_AMOUNT:
        raise Refused(ROWS_INVALID, "the rows add up to more than any wallet can hold")


def _refusal(problem: Any, words: str, wrong: _Wrong) -> Refused:
    shown = sorted(wrong.shown, key=lambda complaint: complaint.line)[:MOST_SHOWN]
    lines = "1 line is" if wrong.count == 1 else f"{wrong.count} lines are"
    rest = wrong.count - len(shown)
    more = f"; {rest} of them are not listed" if rest else ""
    errors = [{"field": f"line {c.line}", "message": c.reason} for c in shown]
    return Refused(problem, f"{lines} {words}{more}; nothing was stored", errors=errors)
