"""Reading balances (switch `reads`), statements, and one movement."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.books import Books
from engine.defences import Defences
from engine.refusals import NOT_FOUND, Refused
from engine.schema import LedgerEntry, Transaction, Wallet
from engine.wallets import WalletState

BulkRead = Callable[[Session, Books, Sequence[int]], list[WalletState]]


def wallet_by_wallet(_: Session, books: Books, wallet_ids: Sequence[int]) -> list[WalletState]:
    """One SELECT each: at READ COMMITTED each sees another moment."""
    return [wallet for wallet_id in wallet_ids for wallet in books.read([wallet_id], lock=False)]


def in_one_statement(_: Session, books: Books, wallet_ids: Sequence[int]) -> list[WalletState]:
    """One statement has one snapshot."""
    return books.read(wallet_ids, lock=False)


def in_one_snapshot(session: Session, books: Books, wallet_ids: Sequence[int]) -> list[WalletState]:
    """Several statements under REPEATABLE READ share the first one's snapshot."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    return [wallet for wallet_id in wallet_ids for wallet in books.read([wallet_id], lock=False)]


def bulk_read_of(defences: Defences) -> BulkRead:
    return {
        "per_wallet": wallet_by_wallet,
        "single_statement": in_one_statement,
        "snapshot": in_one_snapshot,
    }[defences.reads]


@dataclass(frozen=True, kw_only=True)
class StatementLine:
    """One movement as one wallet saw it; `balance_after` only where legs are kept."""

    transaction_id: str
    kind: str
    entry_type: str
    amount: int | float
    balance_after: int | float | None
    timestamp: datetime


def statement(session: Session, wallet_id: int, *, legs: bool, limit: int) -> list[StatementLine]:
    """The newest movements of a wallet, newest first."""
    if not legs:
        return _statement_of_transactions(session, wallet_id, limit)
    query = (
        sa.select(LedgerEntry, Transaction.type, Transaction.timestamp)
        .join(Transaction, Transaction.id == LedgerEntry.transaction_id)
        .where(LedgerEntry.wallet_id == wallet_id)
        .order_by(LedgerEntry.wallet_version.desc())
        .limit(limit)
    )
    return [
        StatementLine(
            transaction_id=str(entry.transaction_id),
            kind=kind,
            entry_type=entry.entry_type,
            amount=entry.amount,
            balance_after=entry.balance_after,
            timestamp=timestamp,
        )
        for entry, kind, timestamp in session.execute(query)
    ]


def _statement_of_transactions(session: Session, wallet_id: int, limit: int) -> list[StatementLine]:
    query = (
        sa.select(Transaction)
        .where(
            sa.or_(Transaction.from_wallet_id == wallet_id, Transaction.to_wallet_id == wallet_id)
        )
        .order_by(Transaction.timestamp.desc())
        .limit(limit)
    )
    return [
        StatementLine(
            transaction_id=str(row.id),
            kind=row.type,
            entry_type="DEBIT" if row.from_wallet_id == wallet_id else "CREDIT",
            amount=row.amount,
            balance_after=None,
            timestamp=row.timestamp,
        )
        for row in session.scalars(query)
    ]


@dataclass(frozen=True, kw_only=True)
class RecordedMovement:
    """A transaction as it is kept, with the asset and the users on both sides."""

    id: uuid.UUID
    kind: str
    from_wallet_id: int | None
    to_wallet_id: int | None
    amount: int | float
    status: str
    timestamp: datetime
    asset_type_id: int
    user_ids: tuple[int, ...]


def recorded_movement(session: Session, transaction_id: uuid.UUID) -> RecordedMovement:
    """Raises Refused when there is no such transaction."""
    row = session.get(Transaction, transaction_id)
    if row is None:
        raise Refused(NOT_FOUND, f"there is no movement {transaction_id}")
    sides = [i for i in (row.from_wallet_id, row.to_wallet_id) if i is not None]
    wallets = list(session.scalars(sa.select(Wallet).where(Wallet.id.in_(sides))))
    return RecordedMovement(
        id=row.id,
        kind=row.type,
        from_wallet_id=row.from_wallet_id,
        to_wallet_id=row.to_wallet_id,
        amount=row.amount,
        status=row.status,
        timestamp=row.timestamp,
        asset_type_id=wallets[0].asset_type_id,
        user_ids=tuple(wallet.user_id for wallet in wallets),
    )
