"""Asset types and the system wallets that fund them: kept for an hour, so many at most."""

import threading
import time
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.refusals import ALREADY_EXISTS, ASSET_MISMATCH, Refused
from engine.schema import AssetType, User, Wallet
from engine.treasury import shard_labels
from engine.unit_of_work import commit

SYSTEM, ESCROW = "system", "escrow"
"""Roles of the users who own the service's wallets: its treasury, and where holds wait."""
SERVICE_ROLES = frozenset({SYSTEM, ESCROW})

Name = TypeVar("Name")
LIFETIME_S = 3600
MOST_KEPT = 1_000


@dataclass(frozen=True, kw_only=True)
class Asset:
    id: int
    code: str
    decimals: int
    shard_ids: tuple[int, ...]
    """Its system wallets, at least one."""
    escrow_wallet_id: int | None
    """Where holds of this asset wait."""
    service_user_ids: frozenset[int]
    """Who owns these wallets: no client names one, and nobody opens, limits or freezes one."""

    def counterpart(self, wallet_id: int) -> int:
        """The system wallet that this wallet deals with: always the same, so races are the same."""
        return self.shard_ids[wallet_id % len(self.shard_ids)]


@dataclass(frozen=True, kw_only=True)
class _Kept:
    asset: Asset
    until_s: float


class Assets:
    """Looked up once an hour and process; an unknown code or id is looked up again, as it may be
    new. Nobody decides by what an asset was an hour ago: its code, its decimals and its system
    wallet never change."""

    def __init__(self, *, shards: int = 1) -> None:
        self.shards = shards
        self._lock = threading.Lock()
        self._by_code: dict[str, _Kept] = {}
        self._by_id: dict[int, _Kept] = {}

    def find(self, session: Session, code: str) -> Asset | None:
        return _present(self._by_code.get(code)) or self._load(session, AssetType.code == code)

    def known_code(self, code: str) -> Asset | None:
        """As `known`, by its code."""
        return _present(self._by_code.get(code))

    def by_code(self, session: Session, code: str) -> Asset:
        """Raises Refused for an unknown code."""
        asset = self.find(session, code)
        if asset is None:
            raise Refused(ASSET_MISMATCH, "there is no such asset", field="asset")
        return asset

    def by_id(self, session: Session, asset_type_id: int) -> Asset:
        """Of an asset that exists: some wallet holds it."""
        asset = self.known(asset_type_id) or self._load(session, AssetType.id == asset_type_id)
        assert asset is not None, "every asset of a wallet has a system wallet"
        return asset

    def known(self, asset_type_id: int) -> Asset | None:
        """The asset if it has been looked up before: no session is needed."""
        return _present(self._by_id.get(asset_type_id))

    def _load(self, session: Session, which: sa.ColumnElement[bool]) -> Asset | None:
        query = (
            sa.select(
                AssetType.id.label("asset_id"),
                AssetType.code,
                AssetType.decimals,
                Wallet.id,
                Wallet.user_id,
                User.role,
            )
            .join(Wallet, Wallet.asset_type_id == AssetType.id)
            .join(User, User.id == Wallet.user_id)
            # By their labels: whatever else belongs to these users is not taken for one of them.
            .where(
                sa.or_(
                    sa.and_(User.role == SYSTEM, Wallet.label.in_(shard_labels(self.shards))),
                    sa.and_(User.role == ESCROW, Wallet.label == ""),
                ),
                which,
            )
            .order_by(Wallet.id)
        )
        rows = session.execute(query).all()
        shard_ids = tuple(row.id for row in rows if row.role == SYSTEM)
        if not shard_ids:
            return None
        asset = Asset(
            id=rows[0].asset_id,
            code=rows[0].code,
            decimals=rows[0].decimals,
            shard_ids=shard_ids,
            escrow_wallet_id=next((row.id for row in rows if row.role == ESCROW), None),
            service_user_ids=frozenset(row.user_id for row in rows),
        )
        kept = _Kept(asset=asset, until_s=time.monotonic() + LIFETIME_S)
        with self._lock:
            _keep(self._by_code, asset.code, kept)
            _keep(self._by_id, asset.id, kept)
        return asset


def _present(kept: _Kept | None) -> Asset | None:
    return kept.asset if kept is not None and time.monotonic() < kept.until_s else None


def _keep(kept: dict[Name, _Kept], name: Name, asset: _Kept) -> None:
    """Whoever came first goes first when there are too many."""
    if name not in kept and len(kept) >= MOST_KEPT:
        kept.pop(next(iter(kept)), None)
    kept[name] = asset


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
                label="",
                limited=False,
            )
        )
    commit(session)
