"""Where deposits come from and withdrawals go, and where holds wait (switch `funding`)."""

from dataclasses import replace
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.assets import Asset, Assets
from engine.defences import Defences
from engine.schema import Wallet
from engine.wallets import Movement

BY_WAY_OF_ESCROW = frozenset({"HOLD", "CAPTURE", "RELEASE"})
"""Between a wallet and the asset's escrow, where money waits that nobody can spend."""


class Funding(Protocol):
    def complete(self, session: Session, movement: Movement) -> Movement:
        """The movement with both of its sides, where this build knows two."""


class OpenFunding:
    """Deposits create money and withdrawals destroy it."""

    def complete(self, session: Session, movement: Movement) -> Movement:  # noqa: ARG002
        return movement


class SystemFunding:
    """The side that lies outside is a system wallet, so that everything sums to zero."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    def complete(self, session: Session, movement: Movement) -> Movement:
        if len(movement.wallet_ids) == 2:
            return movement
        asset = self._asset(session, movement)
        if asset is None:
            return movement  # To be refused, but only once it is known who asks for which wallet.
        (inside,) = movement.wallet_ids
        outside = asset.counterpart(inside)
        if movement.kind in BY_WAY_OF_ESCROW:
            assert asset.escrow_wallet_id is not None, "migrations and new assets open it"
            outside = asset.escrow_wallet_id
        return replace(
            movement,
            from_wallet_id=movement.from_wallet_id or outside,
            to_wallet_id=movement.to_wallet_id or outside,
        )

    def _asset(self, session: Session, movement: Movement) -> Asset | None:
        if movement.asset is not None:
            return self._assets.find(session, movement.asset)
        (inside,) = movement.wallet_ids
        held = session.scalar(sa.select(Wallet.asset_type_id).where(Wallet.id == inside))
        return None if held is None else self._assets.by_id(session, held)


def funding_of(defences: Defences, assets: Assets) -> Funding:
    return SystemFunding(assets) if defences.funding == "system" else OpenFunding()
