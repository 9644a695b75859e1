"""The tables as SQLAlchemy sees them. They are created by the migrations, never from here."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, DateTime, Integer, Text, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

Amount = int | float
"""Minor units as int, or major units as float, by the switch `money`.

With `numeric` they are Decimals all the way: never mixed with the others, and used like them.
"""


class MoneyColumn(UserDefinedType[Amount]):
    """Passes Python's number through: BIGINT, NUMERIC or DOUBLE PRECISION by build."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "numeric"


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    username: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str | None] = mapped_column(Text)
    pin_hash: Mapped[str | None] = mapped_column(Text)
    pin_failures: Mapped[int] = mapped_column(Integer, server_default="0")
    pin_locked_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class RevokedToken(Base):
    __tablename__ = "revoked_tokens"
    jti: Mapped[str] = mapped_column(Text, primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class AssetType(Base):
    __tablename__ = "asset_types"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    code: Mapped[str] = mapped_column(Text)
    decimals: Mapped[int] = mapped_column(Integer)


class Wallet(Base):
    __tablename__ = "wallets"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger)
    asset_type_id: Mapped[int] = mapped_column(BigInteger)
    balance: Mapped[Amount] = mapped_column(MoneyColumn)
    version: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(Text)
    allow_negative: Mapped[bool] = mapped_column(Boolean)
    label: Mapped[str] = mapped_column(Text)
    limited: Mapped[bool] = mapped_column(Boolean)


class Transaction(Base):
    __tablename__ = "transactions"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    from_wallet_id: Mapped[int | None] = mapped_column(BigInteger)
    to_wallet_id: Mapped[int | None] = mapped_column(BigInteger)
    amount: Mapped[Amount] = mapped_column(MoneyColumn)
    status: Mapped[str] = mapped_column(Text)
    idempotency_key: Mapped[str | None] = mapped_column(Text)
    timestamp: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    reverses_transaction_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    settles_hold_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    campaign: Mapped[str | None] = mapped_column(Text)
    campaign_user_id: Mapped[int | None] = mapped_column(BigInteger)


class LedgerEntry(Base):
    __tablename__ = "ledger_entries"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    transaction_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    wallet_id: Mapped[int] = mapped_column(BigInteger)
    entry_type: Mapped[str] = mapped_column(Text)
    amount: Mapped[Amount] = mapped_column(MoneyColumn)
    balance_after: Mapped[Amount] = mapped_column(MoneyColumn)
    wallet_version: Mapped[int] = mapped_column(BigInteger)


class DailyLimit(Base):
    __tablename__ = "daily_limits"
    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    asset_type_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    daily_cap: Mapped[Amount | None] = mapped_column(MoneyColumn)
    overdraft: Mapped[Amount | None] = mapped_column(MoneyColumn)


class IdempotencyKey(Base):
    __tablename__ = "idempotency_keys"
    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text)
    response_status: Mapped[int | None] = mapped_column(Integer)
    response_body: Mapped[Any] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Hold(Base):
    """Money set aside by the transaction of the same id."""

    __tablename__ = "holds"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    from_wallet_id: Mapped[int] = mapped_column(BigInteger)
    to_wallet_id: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[Amount] = mapped_column(MoneyColumn)
    status: Mapped[str] = mapped_column(Text)
    timestamp: Mapped[datetime] = mapped_column(DateTime(timezone=True))
