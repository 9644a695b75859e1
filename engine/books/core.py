"""Books kept by Core SQL: no objects, and one statement that writes a whole settlement."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import Insert

from engine.books.ledger import LedgerWriter
from engine.books.protocol import StaleVersion
from engine.idempotency import keep
from engine.schema import LedgerEntry, Transaction, Wallet
from engine.wallets import Posting, Settlement, WalletState, Write

WALLETS: Any = Wallet.__table__
TRANSACTIONS: Any = Transaction.__table__
ENTRIES: Any = LedgerEntry.__table__


class CoreBooks:
    def __init__(self, session: Session, ledger: LedgerWriter, *, merged: bool) -> None:
        self._session = session
        self._ledger = ledger
        self._merged = merged

    def read(self, wallet_ids: Sequence[int], *, lock: bool) -> list[WalletState]:
        query = sa.select(WALLETS).where(WALLETS.c.id.in_(wallet_ids)).order_by(WALLETS.c.id)
        if lock:
            # FOR NO KEY UPDATE: every foreign-key check of an insert takes FOR KEY SHARE.
            query = query.with_for_update(key_share=True)
        return [WalletState(**row) for row in self._session.execute(query).mappings()]

    def settle(self, settlement: Settlement, checkpoint: Callable[[], None]) -> None:
        if self._merged:
            self._settle_at_once(settlement)
        else:
            self._settle_by_steps(settlement, checkpoint)

    def _settle_at_once(self, settlement: Settlement) -> None:
        """Rows are locked or their versions are checked, so one statement can write them all."""
        parts: list[Any] = [_insert_transactions(settlement.postings).cte("recorded")]
        if legs := self._legs(settlement):
            parts.append(sa.insert(ENTRIES).values(legs).cte("legs"))
        if settlement.kept:
            parts.append(keep(settlement.kept).cte("kept"))
        changed = _update_together(settlement.writes).add_cte(*parts)
        if len(self._session.execute(changed).all()) != len(settlement.writes):
            raise StaleVersion

    def _settle_by_steps(self, settlement: Settlement, checkpoint: Callable[[], None]) -> None:
        for write in settlement.writes:
            if not self._session.execute(_update_together((write,))).all():
                raise StaleVersion
            checkpoint()
        self._session.execute(_insert_transactions(settlement.postings))
        if legs := self._legs(settlement):
            self._session.execute(sa.insert(ENTRIES).values(legs))
        if settlement.kept:
            self._session.execute(keep(settlement.kept))
        checkpoint()

    def _legs(self, settlement: Settlement) -> list[dict[str, Any]]:
        return [
            {
                "transaction_id": posting.id,
                "wallet_id": leg.wallet_id,
                "entry_type": leg.entry_type,
                "amount": leg.amount,
                "balance_after": leg.balance_after,
                "wallet_version": leg.wallet_version,
            }
            for posting in settlement.postings
            for leg in self._ledger(posting)
        ]


def _insert_transactions(postings: Sequence[Posting]) -> Insert:
    return sa.insert(TRANSACTIONS).values(
        [
            {
                "id": posting.id,
                "type": posting.movement.kind,
                "from_wallet_id": posting.movement.from_wallet_id,
                "to_wallet_id": posting.movement.to_wallet_id,
                "amount": posting.movement.amount,
                "status": "COMPLETED",
                "idempotency_key": posting.idempotency_key,
                "timestamp": posting.timestamp,
            }
            for posting in postings
        ]
    )


def _update_together(writes: Sequence[Write]) -> Any:
    new = sa.values(
        sa.column("id", sa.BigInteger),
        sa.column("balance", WALLETS.c.balance.type),
        sa.column("version", sa.BigInteger),
        sa.column("expected", sa.BigInteger),
        name="new",
    ).data([(w.wallet_id, w.balance, w.version, w.expected_version) for w in writes])
    unchanged = sa.or_(
        sa.cast(new.c.expected, sa.BigInteger).is_(None),
        WALLETS.c.version == sa.cast(new.c.expected, sa.BigInteger),
    )
    return (
        sa.update(WALLETS)
        .where(WALLETS.c.id == new.c.id, unchanged)
        .values(balance=new.c.balance, version=new.c.version)
        .returning(WALLETS.c.id)
    )
