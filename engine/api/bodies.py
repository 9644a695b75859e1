"""What requests carry. `A` is the amount's type on the wire, which differs by build."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from engine.money import DEFAULT_ASSET, AssetCode

A = TypeVar("A")
WalletId = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
"""Strict in every build: no identifier is `true` or 5.0."""
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Text without control characters: PostgreSQL stores no NUL."""
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w.@+-]+$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class TransferBody(Body, Generic[A]):
    from_wallet_id: WalletId
    to_wallet_id: WalletId
    amount: A


class AmountBody(Body, Generic[A]):
    amount: A


class ChainPart(Body, Generic[A]):
    type: Literal["WITHDRAWAL", "DEPOSIT"]
    wallet_id: WalletId
    amount: A


class ChainBody(Body, Generic[A]):
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


class StatusBody(Body):
    status: Literal["active", "frozen", "closed"]


class BalancesBody(Body):
    wallet_ids: Annotated[list[WalletId], Field(min_length=1, max_length=1000)]


class HoldBody(Body, Generic[A]):
    from_wallet_id: WalletId
    to_wallet_id: WalletId
    amount: A


class BonusBody(Body, Generic[A]):
    amount: A
    campaign: Annotated[str, Field(pattern=r"^[\w.:-]{1,64}$")] | None = None
    """Each user gets one bonus of a campaign."""


class AssetBody(Body):
    code: AssetCode
    name: Annotated[Line, Field(min_length=1)]
    decimals: Annotated[int, Field(strict=True, ge=0, le=8)] = 2


class NoBody(Body):
    """For requests that say everything by their path."""
