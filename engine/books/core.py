"""Books kept by SQL: no objects, and one statement that writes a whole settlement.

Rows travel as arrays, so that the text of a statement is always the same: SQLAlchemy builds one
with a VALUES list anew each time, which costs more than running it.
"""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.books.ledger import Ledger, as_written
from engine.books.marks import put_mark
from engine.books.protocol import StaleVersion
from engine.books.row_locks import RowLocks
from engine.direct import Direct
from engine.schema import Amount, Wallet
from engine.wallets import KeptAnswer, Mark, Once, Posting, Settlement, WalletState, Write

WALLETS: Any = Wallet.__table__
NAMES = tuple(column.name for column in WALLETS.columns)
COLUMNS = ", ".join(f"wallets.{name}" for name in NAMES)
THESE = f"SELECT {COLUMNS} FROM wallets WHERE wallets.id IN :ids"  # noqa: S608 - our own columns
READ = Direct(sa.text(f"{THESE} ORDER BY wallets.id"))

RECORD = """
INSERT INTO transactions
    (id, type, from_wallet_id, to_wallet_id, amount, status, idempotency_key, timestamp)
SELECT id, type, payer, payee, amount, 'COMPLETED', idempotency_key, timestamp
FROM unnest(
    CAST(:transaction_ids AS uuid[]), CAST(:types AS text[]), CAST(:payers AS bigint[]),
    CAST(:payees AS bigint[]), CAST(:amounts AS numeric[]), CAST(:keys AS text[]),
    CAST(:timestamps AS timestamptz[])
) AS new (id, type, payer, payee, amount, idempotency_key, timestamp)
"""
RECORD_ONCE = """
INSERT INTO transactions
    (id, type, from_wallet_id, to_wallet_id, amount, status, idempotency_key, timestamp,
     reverses_transaction_id, settles_hold_id, campaign, campaign_user_id)
SELECT id, type, payer, payee, amount, 'COMPLETED', idempotency_key, timestamp,
       reverses, settles, campaign, campaign_user
FROM unnest(
    CAST(:transaction_ids AS uuid[]), CAST(:types AS text[]), CAST(:payers AS bigint[]),
    CAST(:payees AS bigint[]), CAST(:amounts AS numeric[]), CAST(:keys AS text[]),
    CAST(:timestamps AS timestamptz[]), CAST(:reverses AS uuid[]), CAST(:settles AS uuid[]),
    CAST(:campaigns AS text[]), CAST(:campaign_users AS bigint[])
) AS new (id, type, payer, payee, amount, idempotency_key, timestamp, reverses, settles, campaign,
          campaign_user)
"""
WRITE_LEGS = """
INSERT INTO ledger_entries
    (transaction_id, wallet_id, entry_type, amount, balance_after, wallet_version)
SELECT * FROM unnest(
    CAST(:leg_transactions AS uuid[]), CAST(:leg_wallets AS bigint[]), CAST(:leg_types AS text[]),
    CAST(:leg_amounts AS numeric[]), CAST(:leg_balances AS numeric[]),
    CAST(:leg_versions AS bigint[])
)
"""
KEEP_ANSWER = """
UPDATE idempotency_keys SET response_status = :response_status, response_body = :response_body
WHERE scope = :key_scope AND key = :key
"""
INSERT_ANSWER = """
INSERT INTO idempotency_keys (scope, key, fingerprint, response_status, response_body)
VALUES (:key_scope, :key, :key_fingerprint, :response_status, :response_body)
ON CONFLICT DO NOTHING
"""
WRITE_BALANCES = """
UPDATE wallets SET balance = new.balance, version = new.version
FROM unnest(
    CAST(:wallet_ids AS bigint[]), CAST(:balances AS numeric[]), CAST(:versions AS bigint[]),
    CAST(:expected_versions AS bigint[])
) AS new (id, balance, version, expected_version)
WHERE wallets.id = new.id
    AND (
        new.expected_version IS NULL
        OR (wallets.version = new.expected_version AND wallets.status = 'active')
    )
RETURNING wallets.id, wallets.balance, wallets.version
"""
ADD_CHANGES = """
UPDATE wallets
SET balance = wallets.balance + new.change, version = wallets.version + new.versions
FROM unnest(
    CAST(:wallet_ids AS bigint[]), CAST(:changes AS numeric[]), CAST(:versions AS bigint[]),
    CAST(:lowest AS numeric[])
) AS new (id, change, versions, lowest)
WHERE wallets.id = new.id AND wallets.status = 'active'
    AND (new.lowest IS NULL OR wallets.allow_negative OR wallets.balance + new.lowest >= 0)
RETURNING wallets.id, wallets.balance, wallets.version
"""
Values = dict[str, Any]


def read_and_lock_by(locks: RowLocks) -> Direct:
    """To be made once."""
    return Direct(sa.text(f"{THESE} {locks.clauses}"))


class CoreBooks:
    def __init__(
        self, session: Session, ledger: Ledger, read_and_lock: Direct, *, merged: bool
    ) -> None:
        self._session = session
        self._ledger = ledger
        self._read_and_lock = read_and_lock
        self._merged = merged

    def read(self, wallet_ids: Sequence[int], *, lock: bool) -> list[WalletState]:
        query = self._read_and_lock if lock else READ
        found = query.rows(self._session, {"ids": tuple(wallet_ids)})
        return [WalletState(**dict(zip(NAMES, row, strict=True))) for row in found]

    def settle(self, settlement: Settlement, checkpoint: Callable[[], None]) -> Sequence[Write]:
        if self._merged and all(write.change is None for write in settlement.writes):
            # Rows are locked or their versions are checked: one statement can write them all.
            return self._write(settlement.writes, self._records(settlement), settlement.mark)
        if settlement.mark:
            put_mark(self._session, settlement.mark)
        written: list[Write] = []
        for part in [settlement.writes] if self._merged else [(w,) for w in settlement.writes]:
            written += self._write(part)
            checkpoint()
        records = self._records(as_written(settlement, written))
        for together in self._at_once(records):
            *before, last = [sql for sql, _ in together]
            _prepared(_statement(last, *before)).rows(self._session, _united(together))
        checkpoint()
        return written

    def _at_once(self, records: list[tuple[str, Values]]) -> Sequence[Sequence[tuple[str, Values]]]:
        """What one statement writes, and the next one."""
        if self._merged and records:
            return [records]
        return [[record] for record in records]

    def _records(self, settlement: Settlement) -> list[tuple[str, Values]]:
        recorded = self._ledger.recorded(settlement.postings)
        records = [_record(recorded)] if recorded else []
        if legs := self._legs(settlement.postings):
            records.append((WRITE_LEGS, legs))
        records += settlement.records
        if settlement.kept:
            claimed = settlement.kept.fingerprint is None
            sql = KEEP_ANSWER if claimed else INSERT_ANSWER
            records.append((sql, _kept(settlement.kept)))
        return records

    def _write(
        self,
        writes: Sequence[Write],
        records: Sequence[tuple[str, Values]] = (),
        mark: Mark | None = None,
    ) -> list[Write]:
        adds = writes[0].change is not None
        values = _united(records) | (_changes(writes) if adds else _balances(writes))
        sql = ADD_CHANGES if adds else WRITE_BALANCES
        statement = _statement(sql, *(record for record, _ in records))
        if mark:
            statement = _marked(statement, mark.parts)
            values |= mark.values
        rows = _prepared(statement).rows(self._session, values)
        if mark and not all(marked for *_, marked in rows):
            raise mark.missed
        found = {id_: (balance, version) for id_, balance, version, *_ in rows}
        if any(write.insists and write.wallet_id not in found for write in writes):
            raise StaleVersion
        return [_as_found(write, found.get(write.wallet_id)) for write in writes]

    def _legs(self, postings: Sequence[Posting]) -> Values:
        legs = [(posting.id, leg) for posting in postings for leg in self._ledger.legs(posting)]
        if not legs:
            return {}
        return {
            "leg_transactions": [str(transaction_id) for transaction_id, _ in legs],
            "leg_wallets": [leg.wallet_id for _, leg in legs],
            "leg_types": [leg.entry_type for _, leg in legs],
            "leg_amounts": [leg.amount for _, leg in legs],
            "leg_balances": [leg.balance_after for _, leg in legs],
            "leg_versions": [leg.wallet_version for _, leg in legs],
        }


def _as_found(write: Write, found: tuple[Amount, int] | None) -> Write:
    if found is None or found == (write.balance, write.version):
        return write
    balance, version = found
    return replace(write, balance=balance, version=version)


@cache
def _prepared(sql: str) -> Direct:
    return Direct(sa.text(sql))


@cache
def _statement(sql: str, *before: str) -> str:
    """`before` are written by the same statement, as parts of its WITH."""
    parts = ", ".join(f"part_{number} AS ({part})" for number, part in enumerate(before))
    return f"WITH {parts} {sql}" if parts else sql


@cache
def _marked(sql: str, parts: tuple[tuple[str, str], ...]) -> str:
    """The same statement, which also makes these changes and tells of them."""
    named = ", ".join(f"{name} AS ({part})" for name, part in parts)
    told = f"(SELECT count(*) FROM {parts[-1][0]}) AS marked"  # noqa: S608 - of our own names
    return f"WITH {named}, {sql.removeprefix('WITH ')}, {told}"


def _united(records: Sequence[tuple[str, Values]]) -> Values:
    return {name: value for _, values in records for name, value in values.items()}


def _record(postings: Sequence[Posting]) -> tuple[str, Values]:
    marks = [posting.movement.once for posting in postings]
    if not any(marks):
        return RECORD, _records(postings)
    columns = [asdict(mark or Once()) for mark in marks]
    return RECORD_ONCE, _records(postings) | {
        "reverses": [_text(column["reverses_transaction_id"]) for column in columns],
        "settles": [_text(column["settles_hold_id"]) for column in columns],
        "campaigns": [column["campaign"] for column in columns],
        "campaign_users": [column["campaign_user_id"] for column in columns],
    }


def _text(id_: uuid.UUID | None) -> str | None:
    return None if id_ is None else str(id_)


def _records(postings: Sequence[Posting]) -> Values:
    return {
        "transaction_ids": [str(posting.id) for posting in postings],
        "types": [posting.movement.kind for posting in postings],
        "payers": [posting.movement.from_wallet_id for posting in postings],
        "payees": [posting.movement.to_wallet_id for posting in postings],
        "amounts": [posting.movement.amount for posting in postings],
        "keys": [posting.idempotency_key for posting in postings],
        "timestamps": [posting.timestamp for posting in postings],
    }


def _balances(writes: Sequence[Write]) -> Values:
    return {
        "wallet_ids": [write.wallet_id for write in writes],
        "balances": [write.balance for write in writes],
        "versions": [write.version for write in writes],
        "expected_versions": [write.expected_version for write in writes],
    }


def _changes(writes: Sequence[Write]) -> Values:
    changes = [(write.wallet_id, write.change) for write in writes if write.change is not None]
    return {
        "wallet_ids": [wallet_id for wallet_id, _ in changes],
        "changes": [change.balance for _, change in changes],
        "versions": [change.versions for _, change in changes],
        "lowest": [change.lowest for _, change in changes],
    }


def _kept(kept: KeptAnswer) -> Values:
    return {
        "key_scope": kept.scope,
        "key": kept.key,
        "key_fingerprint": kept.fingerprint,
        "response_status": kept.answer.status,
        "response_body": json.dumps(kept.answer.body),
    }
