"""What requests carry. `A` is the amount's type on the wire, which differs by build."""

from typing import Annotated, Generic, Literal, TypeVar

from fastapi import Body as RequestBody
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from engine.money import DEFAULT_ASSET, AssetCode

A = TypeVar("A")
WalletId = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
"""Strict in every build: no identifier is `true` or 5.0."""
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Text without control characters: PostgreSQL stores no NUL."""
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w.@+-]+$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class MovementBody(Body):
    """What moves money. The PIN is kept out of whatever is made of the body: fingerprint, log."""

    pin: Annotated[SecretStr, Field(max_length=20)] | None = Field(default=None, exclude=True)
    """In place of the header X-Pin."""


class PinBody(Body):
    pin: Annotated[SecretStr, Field(min_length=4, max_length=4)]
    current_pin: Annotated[SecretStr, Field(max_length=20)] | None = None
    """In place of the header X-Pin; not needed for the first PIN."""


class TransferBody(MovementBody, Generic[A]):
    from_wallet_id: WalletId
    to_wallet_id: WalletId
    amount: A


class AmountBody(MovementBody, Generic[A]):
    amount: A


class ChainPart(Body, Generic[A]):
    type: Literal["WITHDRAWAL", "DEPOSIT"]
    wallet_id: WalletId
    amount: A


class ChainBody(MovementBody, Generic[A]):
    """Movements that are offered as one: all of them happen, or none."""

    movements: Annotated[list[ChainPart[A]], Field(min_length=1, max_length=10)]


class UserBody(Body):
    username: Name
    email: Line = ""
    password: Annotated[str, Field(min_length=8, max_length=200)] | None = None


class LoginBody(Body):
    username: Name
    password: Annotated[str, Field(max_length=200)]


class WalletBody(Body):
    user_id: WalletId | None = None
    asset: AssetCode = DEFAULT_ASSET
    label: Annotated[str, Field(max_length=40, pattern=r"^[\w.-]*$")] = ""
    """Tells several wallets of one user and asset apart."""


class WalletRow(WalletBody):
    """Whatever else the body names is kept, for the row that is made of it."""

    model_config = ConfigDict(extra="allow")


class StatusBody(Body):
    status: Literal["active", "frozen", "closed"]


class LimitBody(Body, Generic[A]):
    daily_cap: A | None = None
    """The most that goes out to others within a day of UTC."""
    overdraft: A | None = None
    """How far the wallets together may go below zero; each of them then may."""


class BalancesBody(Body):
    wallet_ids: Annotated[list[WalletId], Field(min_length=1, max_length=1000)]


class HoldBody(MovementBody, Generic[A]):
    from_wallet_id: WalletId
    to_wallet_id: WalletId
    amount: A


class BonusBody(MovementBody, Generic[A]):
    amount: A
    campaign: Annotated[str, Field(pattern=r"^[\w.:-]{1,64}$")] | None = None
    """Each user gets one bonus of a campaign."""


class AssetBody(Body):
    code: AssetCode
    name: Annotated[Line, Field(min_length=1)]
    decimals: Annotated[int, Field(strict=True, ge=0, le=8)] = 2


class NoBody(MovementBody):
    """For requests that say everything by their path, except the PIN perhaps."""


OptionalBody = Annotated[
    NoBody | None, RequestBody(description="Nothing, or the PIN in place of the header X-Pin.")
]
