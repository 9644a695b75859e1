"""Bonuses of a campaign: at most one a user, whichever of the user's wallets gets it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.locking import Locking
from engine.refusals import ALREADY_GRANTED, Refused
from engine.schema import Transaction, Wallet
from engine.wallets import Movement, Once, Posting, Record


@dataclass(frozen=True, kw_only=True)
class CampaignBonus:
    movement: Movement
    """Into the user's wallet."""
    campaign: str

    def movements(self, session: Session, locking: Locking) -> tuple[Movement, ...]:
        del locking
        owner = sa.select(Wallet.user_id).where(Wallet.id == self.movement.to_wallet_id)
        user_id = session.scalar(owner)
        if user_id is None:
            return (self.movement,)  # To be refused, but only once it is known who asks.
        once = Once(campaign=self.campaign, campaign_user_id=user_id)
        return (replace(self.movement, once=once),)

    def check(self, session: Session) -> None:
        owner = sa.select(Wallet.user_id).where(Wallet.id == self.movement.to_wallet_id)
        granted = sa.select(Transaction.id).where(
            Transaction.campaign == self.campaign,
            Transaction.campaign_user_id == owner.scalar_subquery(),
        )
        if session.execute(granted).first():
            raise Refused(ALREADY_GRANTED, "the user has had the bonus of this campaign")

    def records(self, postings: Sequence[Posting]) -> tuple[Record, ...]:
        del postings
        return ()
