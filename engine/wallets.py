"""Plain values that the money movements pass around."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from engine.schema import Amount, Wallet

Kind = Literal[
    "TRANSFER",
    "DEPOSIT",
    "WITHDRAWAL",
    "TOP_UP",
    "SPEND",
    "BONUS",
    "REVERSAL",
    "HOLD",
    "CAPTURE",
    "RELEASE",
]


@dataclass(frozen=True, kw_only=True)
class WalletState:
    """A wallet's row as it was read."""

    id: int
    user_id: int
    asset_type_id: int
    balance: Amount
    version: int
    status: str
    allow_negative: bool
    label: str = ""
    limited: bool = False
    """Its owner has a limit on that asset (`engine.limits`): read with the wallet, so that nobody
    else pays for asking."""

    @classmethod
    def of(cls, row: Wallet) -> "WalletState":
        return cls(
            id=row.id,
            user_id=row.user_id,
            asset_type_id=row.asset_type_id,
            balance=row.balance,
            version=row.version,
            status=row.status,
            allow_negative=row.allow_negative,
            label=row.label,
            limited=row.limited,
        )


@dataclass(frozen=True, kw_only=True)
class Once:
    """What only one movement may ever do: columns of its record that are unique together."""

    reverses_transaction_id: uuid.UUID | None = None
    settles_hold_id: uuid.UUID | None = None
    campaign: str | None = None
    campaign_user_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Movement:
    """Money from one wallet to another. A side that is None lies outside."""

    kind: Kind
    from_wallet_id: int | None
    to_wallet_id: int | None
    amount: Amount
    asset: str | None
    """Code of the asset that the request named; None where amounts are bare numbers."""
    once: Once | None = None

    @property
    def wallet_ids(self) -> tuple[int, ...]:
        return tuple(i for i in (self.from_wallet_id, self.to_wallet_id) if i is not None)


@dataclass(frozen=True, kw_only=True)
class Leg:
    """One side of a movement in the ledger."""

    wallet_id: int
    entry_type: Literal["DEBIT", "CREDIT"]
    amount: Amount
    balance_after: Amount
    wallet_version: int


@dataclass(frozen=True, kw_only=True)
class Posting:
    """A movement that has been decided: its record and its legs."""

    id: uuid.UUID
    movement: Movement
    legs: tuple[Leg, ...]
    idempotency_key: str | None
    timestamp: datetime


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a settlement adds to a wallet, whatever is there by then."""

    balance: Amount
    versions: int
    lowest: Amount | None
    """The most that is missing meanwhile, at most 0: the balance must bear it. None: it pays in."""


@dataclass(frozen=True, kw_only=True)
class Write:
    """A wallet's new absolute balance."""

    wallet_id: int
    balance: Amount
    version: int
    expected_version: int | None
    """Write only over this version (optimistic locking), or over whatever is there when None."""
    insists: bool = True
    """Nothing may be committed when it finds no row; else nobody looks."""
    change: Change | None = None
    """To be added in the balance's place; then balance and version are only expected."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the client gets, and gets again when it repeats its key."""

    status: int
    body: dict[str, Any]
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class KeptAnswer:
    """An answer to be stored under its idempotency key."""

    scope: str
    key: str
    answer: Answer
    fingerprint: str | None = None
    """Set where the key has not been claimed: its row is only inserted with the answer."""


Record = tuple[str, dict[str, Any]]
"""A statement and its values; names of values are unique within a settlement."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Rows that have to change with the money, or nothing may: the last part says that they did."""

    parts: tuple[tuple[str, str], ...]
    """Name and statement of each; a later one may speak of an earlier one by its name."""
    values: dict[str, Any]
    missed: Exception
    """Raised where the last part returns no row."""


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """Everything that one decision writes, in the order in which it is to be written."""

    writes: tuple[Write, ...]
    postings: tuple[Posting, ...]
    kept: KeptAnswer | None
    records: tuple[Record, ...] = ()
    """What else is written with the money."""
    mark: Mark | None = None
