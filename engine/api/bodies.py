"""What requests carry. `A` is the amount's type on the wire, which differs by build."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

A = TypeVar("A")
WalletId = Annotated[int, Field(ge=1, le=2**63 - 1)]
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
    email: Annotated[str, Field(max_length=200)] = ""
    password: Annotated[str, Field(min_length=8, max_length=200)] | None = None


class LoginBody(Body):
    username: Name
    password: Annotated[str, Field(max_length=200)]


class WalletBody(Body):
    user_id: WalletId | None = None
    asset: Annotated[str, Field(min_length=1, max_length=16)] = "USD"


class StatusBody(Body):
    status: Literal["active", "frozen", "closed"]


class BalancesBody(Body):
    wallet_ids: Annotated[list[WalletId], Field(min_length=1, max_length=1000)]
