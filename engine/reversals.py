"""Reversing a movement: the same amount the other way, once and whole."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.identity import Permissions, Principal
from engine.locking import Locking
from engine.refusals import ALREADY_REVERSED, NOT_FOUND, NOT_REVERSIBLE, Refused
from engine.schema import Transaction, Wallet
from engine.wallets import Movement, Once, Posting, Record

REVERSIBLE = frozenset({"TRANSFER", "DEPOSIT", "WITHDRAWAL", "TOP_UP", "SPEND", "BONUS"})
"""A hold is ended by its release, and what was captured is paid back by a transfer."""


@dataclass(frozen=True, kw_only=True)
class Reversal:
    """Of one transaction; its payee's or an operator's to ask for."""

    transaction_id: uuid.UUID
    principal: Principal
    permissions: Permissions

    def movements(self, session: Session, locking: Locking) -> tuple[Movement, ...]:
        # Who it was, what and how much never changes: only whether it was reversed does.
        del locking
        row = session.execute(
            sa.select(
                Transaction.type,
                Transaction.status,
                Transaction.from_wallet_id,
                Transaction.to_wallet_id,
                Transaction.amount,
                Wallet.user_id,
            )
            .outerjoin(Wallet, Wallet.id == Transaction.to_wallet_id)
            .where(Transaction.id == self.transaction_id)
        ).first()
        self.permissions.to_settle(self.principal, row.user_id if row else None)
        if row is None:
            raise Refused(NOT_FOUND, f"there is no movement {self.transaction_id}")
        if row.type not in REVERSIBLE or row.status != "COMPLETED":
            raise Refused(NOT_REVERSIBLE, f"a {row.type} that is {row.status} cannot be reversed")
        return (
            Movement(
                kind="REVERSAL",
                from_wallet_id=row.to_wallet_id,
                to_wallet_id=row.from_wallet_id,
                amount=row.amount,
                asset=None,
                once=Once(reverses_transaction_id=self.transaction_id),
            ),
        )

    def check(self, session: Session) -> None:
        refuse_reversed(session, self.transaction_id)

    def records(self, postings: Sequence[Posting]) -> tuple[Record, ...]:
        del postings
        return ()


def refuse_reversed(session: Session, transaction_id: uuid.UUID) -> None:
    """Raises Refused where it was reversed before."""
    done = sa.select(Transaction.id).where(Transaction.reverses_transaction_id == transaction_id)
    if session.execute(done).first():
        raise Refused(ALREADY_REVERSED, f"movement {transaction_id} was reversed before")
