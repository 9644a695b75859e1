"""Books kept by ORM objects: an attribute, a flush; as most services do it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.books.ledger import Ledger, as_written
from engine.books.marks import put_mark
from engine.books.protocol import StaleVersion
from engine.books.row_locks import RowLocks
from engine.idempotency import keep
from engine.schema import LedgerEntry, Transaction, Wallet
from engine.wallets import Change, Once, Posting, Settlement, WalletState, Write


class OrmBooks:
    def __init__(self, session: Session, ledger: Ledger, locks: RowLocks) -> None:
        self._session = session
        self._ledger = ledger
        self._locks = locks

    def read(self, wallet_ids: Sequence[int], *, lock: bool) -> list[WalletState]:
        query = sa.select(Wallet).where(Wallet.id.in_(wallet_ids)).order_by(Wallet.id)
        if lock:
            query = self._locks.added_to(query)
        # Without populate_existing an object that the session already holds keeps old attributes.
        query = query.execution_options(populate_existing=True)
        wallets = list(self._session.scalars(query))
        # The session itself refers to them weakly, and would SELECT them once more to write them.
        self._session.info.setdefault("wallets", []).extend(wallets)
        return [WalletState.of(wallet) for wallet in wallets]

    def settle(self, settlement: Settlement, checkpoint: Callable[[], None]) -> Sequence[Write]:
        if settlement.mark:
            put_mark(self._session, settlement.mark)
        # One flush a wallet: the unit of work's own flush would sort them by primary key.
        written = []
        for write in settlement.writes:
            written.append(self._write(write))
            checkpoint()
        settlement = as_written(settlement, written)
        for posting in self._ledger.recorded(settlement.postings):
            self._record(posting)
        self._session.flush()
        for sql, values in settlement.records:
            self._session.execute(sa.text(sql), values)
        if settlement.kept:
            self._session.execute(keep(settlement.kept))
        checkpoint()
        return written

    def _write(self, write: Write) -> Write:
        if write.change is not None:
            return self._add(write, write.change)
        if write.expected_version is None:
            wallet = self._session.get_one(Wallet, write.wallet_id)
            wallet.balance = write.balance
            wallet.version = write.version
            self._session.flush()
            return write
        statement = (
            sa.update(Wallet)
            .where(
                Wallet.id == write.wallet_id,
                Wallet.version == write.expected_version,
                Wallet.status == "active",
            )
            .values(balance=write.balance, version=write.version)
            .execution_options(synchronize_session=False)
        )
        changed: Any = self._session.execute(statement)
        if write.insists and changed.rowcount != 1:
            raise StaleVersion
        return write

    def _add(self, write: Write, change: Change) -> Write:
        fits = [Wallet.id == write.wallet_id, Wallet.status == "active"]
        if change.lowest is not None:
            fits.append(sa.or_(Wallet.allow_negative, Wallet.balance + change.lowest >= 0))
        statement = (
            sa.update(Wallet)
            .where(*fits)
            .values(
                balance=Wallet.balance + change.balance, version=Wallet.version + change.versions
            )
            .returning(Wallet.balance, Wallet.version)
            .execution_options(synchronize_session=False)
        )
        row = self._session.execute(statement).first()
        if row is None:
            raise StaleVersion
        return replace(write, balance=row.balance, version=row.version)

    def _record(self, posting: Posting) -> None:
        movement = posting.movement
        self._session.add(
            Transaction(
                id=posting.id,
                type=movement.kind,
                from_wallet_id=movement.from_wallet_id,
                to_wallet_id=movement.to_wallet_id,
                amount=movement.amount,
                status="COMPLETED",
                idempotency_key=posting.idempotency_key,
                timestamp=posting.timestamp,
                **asdict(movement.once or Once()),
            )
        )
        self._session.flush()
        for leg in self._ledger.legs(posting):
            self._session.add(
                LedgerEntry(
                    transaction_id=posting.id,
                    wallet_id=leg.wallet_id,
                    entry_type=leg.entry_type,
                    amount=leg.amount,
                    balance_after=leg.balance_after,
                    wallet_version=leg.wallet_version,
                )
            )
