"""Giving a batch its rows: checked line by line, stored as a whole, and frozen."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.assets import Asset
from engine.batches.complaints import TOLD_ONE_BY_ONE, Complaints
from engine.batches.rows_file import Complaint, FileRow, read_rows
from engine.batches.store import Batch, find_batch
from engine.money import LARGEST_AMOUNT, Money
from engine.refusals import BATCH_FROZEN, ROWS_DOUBLE, ROWS_INVALID, TOO_LARGE, Problem, Refused
from engine.schema import Amount
from engine.unit_of_work import commit

MOST_ROWS = 100_000
MOST = Decimal(LARGEST_AMOUNT)
"""Of all rows together, in minor units."""
INSERTED_AT_ONCE = 1000
READ_AT_ONCE = 5_000
"""Of the lines that the database finds wrong."""

LOCK = sa.text("SELECT file_sha256 FROM batches WHERE id = :batch_id FOR NO KEY UPDATE")
INSERT = sa.text(
    "INSERT INTO batch_rows (batch_id, row_index, line, recipient_id, amount) "
    "SELECT :batch_id, * FROM unnest(CAST(:indexes AS integer[]), CAST(:lines AS integer[]), "
    "CAST(:recipients AS bigint[]), CAST(:amounts AS numeric[]))"
)
# What only the database knows to be wrong with a line.
WRONG_RECIPIENTS = sa.text("""
SELECT line, reason FROM (
    SELECT r.line, CASE
        WHEN w.id = :source THEN 'the wallet pays itself'
        WHEN w.asset_type_id = :asset AND w.status = 'active' THEN NULL
        -- Whose wallet it is not learns nothing of it: not even whether it exists.
        WHEN w.user_id IS DISTINCT FROM :owner THEN 'the wallet cannot be paid in this asset'
        WHEN w.asset_type_id <> :asset THEN 'the wallet holds another asset'
        ELSE 'the wallet is ' || w.status
    END AS reason
    FROM batch_rows r LEFT JOIN wallets w ON w.id = r.recipient_id
    WHERE r.batch_id = :batch_id
) AS checked
WHERE reason IS NOT NULL ORDER BY line
""")
# As many reasons as lines would make the answer long: only the first ones say where.
DOUBLES = sa.text("""
SELECT line, CASE
    WHEN row_number() OVER (ORDER BY line) <= :told_one_by_one
    THEN 'the same recipient and amount as in line ' || first_line
    ELSE 'the same recipient and amount as in a line before'
END AS reason
FROM (
    SELECT line, min(line) OVER (PARTITION BY recipient_id, amount) AS first_line
    FROM batch_rows WHERE batch_id = :batch_id
) AS rows
WHERE line <> first_line ORDER BY line
""")
FREEZE = sa.text(
    "UPDATE batches SET file_sha256 = :sha256, item_count = counted.item_count, "
    "total_amount = counted.total_amount "
    "FROM (SELECT count(*) AS item_count, sum(amount) AS total_amount "
    "      FROM batch_rows WHERE batch_id = :batch_id) AS counted "
    "WHERE id = :batch_id"
)


def store_rows(  # noqa: PLR0913 - what an upload is made of
    session: Session,
    batch: Batch,
    file: BinaryIO,
    *,
    sha256: str,
    asset: Asset,
    money: Money,
    doubles_confirmed: bool,
) -> tuple[Batch, bool]:
    """Store and freeze the file's rows; not when this very file is there already: then False.

    All or nothing, and nothing of the file is in memory but a few rows. Raises Refused: another
    file is there, too many rows, wrong lines, or doubles that nobody has confirmed.
    """
    stored = session.execute(LOCK, {"batch_id": batch.id}).scalar_one()
    if stored is not None:
        known = _as_it_is(session, batch.id)
        session.rollback()
        if stored == sha256:
            return known, False
        raise Refused(BATCH_FROZEN, "the batch has its rows, and they were others")
    wrong = Complaints()
    decimals = asset.decimals
    rows = _good_rows(read_rows(file, decimals=decimals), wrong)
    stored_count = _insert(session, batch.id, rows, money, decimals)
    values = {
        "batch_id": batch.id,
        "source": batch.source_wallet_id,
        "asset": asset.id,
        "owner": batch.user_id,
    }
    _add_found(wrong, session, WRONG_RECIPIENTS, values)
    if not stored_count and not wrong.count:
        wrong.add(1, "the file has no rows")
    if wrong.count:
        raise _refusal(ROWS_INVALID, "not valid", wrong)
    if not doubles_confirmed:
        _refuse_doubles(session, batch.id)
    _refuse_large_total(session, batch.id, money.of_decimal(MOST.scaleb(-decimals), decimals))
    session.execute(FREEZE, {"batch_id": batch.id, "sha256": sha256})
    frozen = _as_it_is(session, batch.id)
    commit(session)
    return frozen, True


def _as_it_is(session: Session, batch_id: int) -> Batch:
    batch = find_batch(session, batch_id)
    assert batch is not None, "batches are never deleted"
    return batch


def _good_rows(found: Iterable[FileRow | Complaint], wrong: Complaints) -> Iterator[FileRow]:
    """Raises Refused for a file of too many lines, wrong ones included."""
    for count, row in enumerate(found, start=1):
        if count > MOST_ROWS:
            raise Refused(TOO_LARGE, f"a batch has at most {MOST_ROWS} rows")
        if isinstance(row, Complaint):
            wrong.add(row.line, row.reason)
        else:
            yield row


def _add_found(
    wrong: Complaints, session: Session, query: sa.TextClause, values: dict[str, Any]
) -> None:
    """Lines that the database finds, a few at a time."""
    for row in session.execute(query, values, execution_options={"yield_per": READ_AT_ONCE}):
        wrong.add(row.line, row.reason)


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
        session.execute(INSERT, values)
    return count


def _refuse_doubles(session: Session, batch_id: int) -> None:
    doubles = Complaints()
    values = {"batch_id": batch_id, "told_one_by_one": TOLD_ONE_BY_ONE}
    _add_found(doubles, session, DOUBLES, values)
    if doubles.count:
        words = "there before; if that is meant, send the file with confirm_duplicates=true"
        raise _refusal(ROWS_DOUBLE, words, doubles)


def _refuse_large_total(session: Session, batch_id: int, most: Amount) -> None:
    """Before the batch has it: PostgreSQL adds up what its column would not hold."""
    statement = sa.text("SELECT sum(amount) FROM batch_rows WHERE batch_id = :batch_id")
    if session.execute(statement, {"batch_id": batch_id}).scalar_one() > most:
        raise Refused(ROWS_INVALID, "the rows add up to more than any wallet can hold")


def _refusal(problem: Problem, words: str, wrong: Complaints) -> Refused:
    lines = "1 line is" if wrong.count == 1 else f"{wrong.count} lines are"
    return Refused(problem, f"{lines} {words}; nothing was stored", errors=wrong.told())
