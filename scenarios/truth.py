"""Ground truth: what is in the database after quiescence, read past the API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Balance:
    """A wallet as the database has it. Fractions of a cent and NaN can only come from floats."""

    wallet: str
    asset: str
    amount_minor: Decimal
    may_be_negative: bool = False
    version: int | None = None
    """How often the wallet was written, where the service counts that."""
    owner: str | None = None
    status: str = "active"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A recorded movement. A side that is None lies outside (or is a system wallet)."""

    id: str
    payer: str | None
    payee: str | None
    amount_minor: Decimal


@dataclass(frozen=True, kw_only=True)
class Leg:
    """One entry of the ledger; `amount_minor` is negative for a debit."""

    effect: str
    wallet: str
    amount_minor: Decimal
    balance_after_minor: Decimal
    position: int
    """Orders the legs of one wallet: its version after this leg."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """An amount that was set aside: active, captured or released."""

    id: str
    payer: str
    payee: str
    asset: str
    amount_minor: Decimal
    status: str


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    balances: Mapping[str, Balance] = field(default_factory=dict)
    effects: tuple[Effect, ...] = ()
    legs: tuple[Leg, ...] | None = None
    """None where the service keeps no legs."""
    records_kept: bool = True
    """Movements are recorded; else there are no effects, and nothing to compare answers with."""
    totals: Mapping[str, Decimal] = field(default_factory=dict)
    """By asset the sum of all balances, those of the service's own wallets included."""
    system_wallets: frozenset[str] = frozenset()
    """Wallets of the service itself, which stand for the outside."""
    locks_left: int = 0
    """Advisory locks that sessions hold which are at rest: nobody is left to let them go."""
    holds: tuple[Held, ...] = ()
    escrow: Mapping[str, Decimal] | None = None
    """By asset what waits in escrow for all holds; None where the service keeps no such wallets."""
