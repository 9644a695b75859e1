"""Asset types and the system wallets that fund them. Assets never change, so they are kept."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.refusals import ASSET_MISMATCH, Refused
from engine.schema import AssetType, User, Wallet


@dataclass(frozen=True, kw_only=True)
class Asset:
    id: int
    code: str
    decimals: int
    system_wallet_id: int
    shard_ids: tuple[int, ...]
    """All its system wallets, that one included."""

    def counterpart(self, wallet_id: int) -> int:
        """The system wallet that this wallet deals with: always the same, so races are the same."""
        return self.shard_ids[wallet_id % len(self.shard_ids)]


class Assets:
    """Looked up once per process; an unknown code or id is looked up again, as it may be new."""

    def __init__(self, *, shards: int = 1) -> None:
        self.shards = shards
        self._by_code: dict[str, Asset] = {}
        self._by_id: dict[int, Asset] = {}

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

    def known(self, asset_type_id: int) -> Asset | None:
        """The asset if it has been looked up before: no session is needed."""
        return self._by_id.get(asset_type_id)

    def _load(self, session: Session) -> None:
        query = (
            sa.select(
                AssetType.id, AssetType.code, AssetType.decimals, sa.func.array_agg(Wallet.id)
            )
            .join(Wallet, Wallet.asset_type_id == AssetType.id)
            .join(User, User.id == Wallet.user_id)
            .where(User.role == "system")
            .group_by(AssetType.id)
        )
        for asset_type_id, code, decimals, wallet_ids in session.execute(query):
            ids = tuple(sorted(wallet_ids))
            asset = Asset(
                id=asset_type_id,
                code=code,
                decimals=decimals,
                system_wallet_id=ids[0],  # The shards were opened later.
                shard_ids=ids[: self.shards],
            )
            self._by_code[code] = self._by_id[asset_type_id] = asset
