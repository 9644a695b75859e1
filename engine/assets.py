"""Asset types and the system wallets that fund them. Assets never change, so they are kept."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.refusals import ALREADY_EXISTS, ASSET_MISMATCH, Refused
from engine.schema import AssetType, User, Wallet
from engine.unit_of_work import commit

SYSTEM, ESCROW = "system", "escrow"
"""Roles of the users who own the service's wallets: its treasury, and where holds wait."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    id: int
    code: str
    decimals: int
    system_wallet_id: int


class Assets:
    """Looked up once per process; an unknown code or id is looked up again, as it may be new."""

    def __init__(self) -> None:
        self._by_code: dict[str, Asset] = {}
        self._by_id: dict[int, Asset] = {}
        self._escrow_wallets: dict[int, int] = {}

    def find(self, session: Session, code: str) -> Asset | None:
        if code not in self._by_code:
            self._load(session)
        return self._by_code.get(code)

    def by_code(self, session: Session, code: str) -> Asset:
        """Raises Refused for an unknown code."""
        asset = self.find(session, code)
        if asset is None:
            raise Refused(ASSET_MISMATCH, "there is no such asset", field="asset")
        return asset

    def by_id(self, session: Session, asset_type_id: int) -> Asset:
        if asset_type_id not in self._by_id:
            self._load(session)
        return self._by_id[asset_type_id]

    def escrow_wallet_id(self, session: Session, asset: Asset) -> int:
        """The wallet where holds of this asset wait."""
        if asset.id not in self._escrow_wallets:
            query = (
                sa.select(Wallet.id)
                .join(User, User.id == Wallet.user_id)
                .where(User.role == ESCROW, Wallet.asset_type_id == asset.id)
                .order_by(Wallet.id)
                .limit(1)
            )
            self._escrow_wallets[asset.id] = session.scalars(query).one()
        return self._escrow_wallets[asset.id]

    def known(self, asset_type_id: int) -> Asset | None:
        """The asset if it has been looked up before: no session is needed."""
        return self._by_id.get(asset_type_id)

    def _load(self, session: Session) -> None:
        query = (
            sa.select(AssetType.id, AssetType.code, AssetType.decimals, Wallet.id)
            .join(Wallet, Wallet.asset_type_id == AssetType.id)
            .join(User, User.id == Wallet.user_id)
            .where(User.role == SYSTEM)
        )
        for asset_type_id, code, decimals, wallet_id in session.execute(query):
            asset = Asset(
                id=asset_type_id, code=code, decimals=decimals, system_wallet_id=wallet_id
            )
            self._by_code[code] = self._by_id[asset_type_id] = asset


def create_asset(session: Session, *, code: str, name: str, decimals: int) -> None:
    """With its treasury, which may owe, and its escrow, which may not. Raises Refused."""
    asset = AssetType(code=code, name=name, decimals=decimals)
    session.add(asset)
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        raise Refused(ALREADY_EXISTS, "there is an asset of that code", field="code") from error
    for role in (SYSTEM, ESCROW):
        owner = sa.select(User.id).where(User.role == role).order_by(User.id).limit(1)
        session.add(
            Wallet(
                user_id=session.scalars(owner).one(),
                asset_type_id=asset.id,
                balance=0,
                version=0,
                status="active",
                allow_negative=role == SYSTEM,
            )
        )
    commit(session)
