"""What answers carry, for the API's description only: `A` is money on the wire, as builds differ.

Answers are written as plain dictionaries; checking them again by a model would cost a tenth of a
transfer. A test compares the two.
"""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel

from engine.wallets import Kind

A = TypeVar("A")


class MovementView(BaseModel, Generic[A]):
    id: UUID
    type: Kind
    from_wallet_id: int | None
    to_wallet_id: int | None
    amount: A
    status: Literal["PENDING", "COMPLETED", "FAILED"]
    timestamp: datetime


class MovementsView(BaseModel, Generic[A]):
    transfers: list[MovementView[A]]
    next_after: str | None


class ReversalView(MovementView[A], Generic[A]):
    reverses_transaction_id: UUID


class HoldEndView(MovementView[A], Generic[A]):
    hold_id: UUID
    hold_status: Literal["captured", "released"]


class HoldView(BaseModel, Generic[A]):
    id: UUID
    from_wallet_id: int
    to_wallet_id: int
    amount: A
    status: Literal["active", "captured", "released"]
    timestamp: datetime


class AssetView(BaseModel):
    code: str
    name: str
    decimals: int


class ChainView(BaseModel, Generic[A]):
    movements: list[MovementView[A]]


class WalletView(BaseModel, Generic[A]):
    id: int
    user_id: int
    asset: str
    label: str
    balance: A
    version: int
    status: Literal["active", "frozen", "closed"]


class WalletsView(BaseModel, Generic[A]):
    wallets: list[WalletView[A]]


class BalancesView(BaseModel, Generic[A]):
    as_of: datetime
    wallets: list[WalletView[A]]


class EntryView(BaseModel, Generic[A]):
    transaction_id: UUID
    type: Kind
    entry_type: Literal["DEBIT", "CREDIT"]
    amount: A
    balance_after: A | None
    timestamp: datetime


class EntriesView(BaseModel, Generic[A]):
    wallet_id: int
    entries: list[EntryView[A]]


class LimitView(BaseModel, Generic[A]):
    user_id: int
    asset: str
    daily_cap: A | None
    overdraft: A | None


class LimitsView(BaseModel, Generic[A]):
    limits: list[LimitView[A]]


class UserView(BaseModel):
    id: int
    username: str
    email: str
    role: str


class UsersView(BaseModel):
    users: list[UserView]


class TokenView(BaseModel):
    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int


def shown(status: int, family: Any, money: Any = None) -> dict[int | str, dict[str, Any]]:
    """A route's `responses`: with this status it answers like that, in this build's money."""
    return {status: {"model": family if money is None else family[money]}}
