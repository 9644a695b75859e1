"""Holds: an amount is set aside for a payee, and then captured or released, once.

The money leaves the payer's wallet at once and waits in the escrow wallet of its asset (outside,
where `funding` is open), so that whatever guards a balance guards what is held as well.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.assets import SERVICE_ROLES
from engine.decisions import TAKES_NO_PAYMENTS
from engine.identity import Permissions, Principal
from engine.locking import Locking
from engine.refusals import ASSET_MISMATCH, HOLD_SETTLED, NOT_FOUND, WALLET_INACTIVE, Refused
from engine.schema import Amount, Hold, User, Wallet
from engine.service_wallets import service_wallet
from engine.wallets import Movement, Once, Posting, Record

INSERT_HOLD = """
INSERT INTO holds (id, from_wallet_id, to_wallet_id, amount, status, timestamp)
VALUES (CAST(:hold_id AS uuid), :hold_payer, :hold_payee, :hold_amount, 'active', :hold_timestamp)
"""
SETTLE = "UPDATE holds SET status = :hold_status WHERE id = CAST(:hold_id AS uuid)"
End = Literal["CAPTURE", "RELEASE"]
STATUSES: dict[End, str] = {"CAPTURE": "captured", "RELEASE": "released"}


@dataclass(frozen=True, kw_only=True)
class NewHold:
    """Sets an amount aside for a payee."""

    movement: Movement
    """From the payer; its other side lies outside."""
    to_wallet_id: int

    def movements(self, session: Session, locking: Locking) -> tuple[Movement, ...]:
        del session, locking
        return (self.movement,)

    def check(self, session: Session) -> None:
        """The payee has to be there, to take payments, and to hold that asset."""
        # Locked against a change of status, which waits for us or is seen here, and against nothing
        # else: a wallet that is to be closed must not miss a hold that is about to be recorded.
        query = (
            sa.select(Wallet.id, Wallet.asset_type_id, Wallet.status, User.role)
            .outerjoin(User, User.id == Wallet.user_id)
            .where(Wallet.id.in_([self.to_wallet_id, self.movement.from_wallet_id]))
            .order_by(Wallet.id)
            .with_for_update(read=True, key_share=True, of=Wallet)
        )
        found = {row.id: row for row in session.execute(query)}
        payer, payee = found.get(self.movement.from_wallet_id), found.get(self.to_wallet_id)
        if payee is None:
            raise Refused(
                NOT_FOUND, f"there is no wallet {self.to_wallet_id}", field="to_wallet_id"
            )
        if payee.role in SERVICE_ROLES:
            raise service_wallet(payee.id)
        if payer is None:
            return  # Whoever decides about the movement says so.
        if payer.status != "active":
            raise Refused(WALLET_INACTIVE, f"wallet {payer.id} is {payer.status}")
        if payee.status != "active":
            raise Refused(WALLET_INACTIVE, TAKES_NO_PAYMENTS)
        if payer.asset_type_id != payee.asset_type_id:
            raise Refused(ASSET_MISMATCH, "the wallets do not hold that asset", field="asset")

    def records(self, postings: Sequence[Posting]) -> tuple[Record, ...]:
        (posting,) = postings
        return (
            (
                INSERT_HOLD,
                {
                    "hold_id": str(posting.id),
                    "hold_payer": self.movement.from_wallet_id,
                    "hold_payee": self.to_wallet_id,
                    "hold_amount": posting.movement.amount,
                    "hold_timestamp": posting.timestamp,
                },
            ),
        )


@dataclass(frozen=True, kw_only=True)
class HoldEnd:
    """Captures a hold for its payee or releases it to its payer; the payee's or an operator's."""

    hold_id: uuid.UUID
    kind: End
    principal: Principal
    permissions: Permissions

    def movements(self, session: Session, locking: Locking) -> tuple[Movement, ...]:
        locking.before_settling(session, f"hold {self.hold_id}")
        query = (
            sa.select(Hold.from_wallet_id, Hold.to_wallet_id, Hold.amount, Wallet.user_id)
            .outerjoin(Wallet, Wallet.id == Hold.to_wallet_id)
            .where(Hold.id == self.hold_id)
        )
        if locking.locks_rows:
            # Before any wallet, and nobody who has a wallet asks for a hold: no circle.
            query = query.with_for_update(key_share=True, of=Hold)
        hold = session.execute(query).first()
        self.permissions.to_settle(self.principal, hold.user_id if hold else None)
        if hold is None:
            raise _no_hold(self.hold_id)
        captures = self.kind == "CAPTURE"
        return (
            Movement(
                kind=self.kind,
                from_wallet_id=None,
                to_wallet_id=hold.to_wallet_id if captures else hold.from_wallet_id,
                amount=hold.amount,
                asset=None,
                once=Once(settles_hold_id=self.hold_id),
            ),
        )

    def check(self, session: Session) -> None:
        status = session.scalar(sa.select(Hold.status).where(Hold.id == self.hold_id))
        if status != "active":
            raise Refused(HOLD_SETTLED, f"hold {self.hold_id} was {status} before")

    def records(self, postings: Sequence[Posting]) -> tuple[Record, ...]:
        del postings
        return ((SETTLE, {"hold_id": str(self.hold_id), "hold_status": STATUSES[self.kind]}),)


@dataclass(frozen=True, kw_only=True)
class RecordedHold:
    """A hold as it is kept, with its asset and the users on both sides."""

    id: uuid.UUID
    from_wallet_id: int
    to_wallet_id: int
    amount: Amount
    status: str
    timestamp: datetime
    asset_type_id: int
    user_ids: tuple[int, ...]


def recorded_hold(session: Session, hold_id: uuid.UUID) -> RecordedHold | None:
    hold = session.get(Hold, hold_id, populate_existing=True)
    if hold is None:
        return None
    sides = [hold.from_wallet_id, hold.to_wallet_id]
    wallets = list(session.scalars(sa.select(Wallet).where(Wallet.id.in_(sides))))
    return RecordedHold(
        id=hold.id,
        from_wallet_id=hold.from_wallet_id,
        to_wallet_id=hold.to_wallet_id,
        amount=hold.amount,
        status=hold.status,
        timestamp=hold.timestamp,
        asset_type_id=wallets[0].asset_type_id,
        user_ids=tuple(wallet.user_id for wallet in wallets),
    )


def _no_hold(hold_id: uuid.UUID) -> Refused:
    return Refused(NOT_FOUND, f"there is no hold {hold_id}")
