"""What a service has to offer to be attacked: wallet words, and a look behind its API."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg2.extensions

from attacks.http.request import Reply, Request
from scenarios.truth import GroundTruth

Ask = Callable[[Request], Reply]
"""Sends a request, waits for its answer, and records nothing."""


class TargetError(Exception):
    """One clear line: the service did not do what its adapter expects of it."""


@dataclass(frozen=True, kw_only=True)
class WalletRef:
    """A wallet and what its owner authenticates with."""

    id: str
    token: str | None = None
    pin: str | None = field(default=None, repr=False)
    owner: str = ""
    asset: str | None = None
    """None: the one that all wallets hold which are opened without naming any."""


class Target(Protocol):
    """Turns wallet words into requests. Amounts are in minor units."""

    @property
    def batches(self) -> "BatchTarget": ...

    @property
    def locks(self) -> "LockTarget": ...

    def open_wallet(self, ask: Ask, *, can_pay: bool) -> WalletRef:
        """An empty wallet of a new owner; `can_pay` also logs the owner in. Raises TargetError."""

    def open_beside(self, ask: Ask, wallet: WalletRef) -> WalletRef:
        """One more empty wallet of the same owner and asset. Raises TargetError."""

    def open_same(self, wallet: WalletRef) -> Request:
        """A wallet of another asset for its owner, who may have one of them."""

    def sign_up(self, username: str) -> Request:
        """Without a password."""

    def tampering(self) -> Sequence[str]:
        """SQL that rewrites the ledger: UPDATE, DELETE, TRUNCATE."""

    def limit(
        self, wallet: WalletRef, *, daily_cap_minor: int | None, overdraft_minor: int | None
    ) -> Request:
        """Over all wallets of its owner: what goes out in a day; how far they go below zero."""

    def log_in(self, ask: Ask) -> Request:
        """A log-in of a new user with the right password, to be sent again and again.

        Its reply's values carry no token. Raises TargetError.
        """

    def open_wallet_beside(self, ask: Ask, wallet: WalletRef, asset: str) -> WalletRef:
        """An empty wallet of the same owner, in another asset. Raises TargetError."""

    def deposit(self, wallet: WalletRef, amount_minor: int, *, key: str) -> Request: ...

    def withdraw(self, wallet: WalletRef, amount_minor: int, *, key: str) -> Request: ...

    def transfer(
        self, payer: WalletRef, payee: WalletRef, amount_minor: int, *, key: str
    ) -> Request: ...

    def transfer_of_raw_amount(
        self, payer: WalletRef, payee: WalletRef, amount: str, *, key: str
    ) -> Request:
        """A transfer whose amount is this JSON text, which may be no amount at all."""

    def chain(self, payer: WalletRef, payee: WalletRef, amount_minor: int, *, key: str) -> Request:
        """A withdrawal and a deposit offered as one."""

    def grant(self, wallet: WalletRef, amount_minor: int, campaign: str, *, key: str) -> Request:
        """A bonus of a campaign, of which each user gets one."""

    def reverse(
        self,
        movement_id: str,
        payer: WalletRef,
        payee: WalletRef,
        amount_minor: int,
        *,
        key: str,
    ) -> Request:
        """Gives back what this payer has paid to this payee. An operator asks."""

    def hold(self, payer: WalletRef, payee: WalletRef, amount_minor: int, *, key: str) -> Request:
        """Sets an amount aside; its reply's values carry the hold's "id"."""

    def capture(self, hold_id: str, payee: WalletRef, amount_minor: int, *, key: str) -> Request:
        """Pays what was set aside to the payee. An operator asks."""

    def release(self, hold_id: str, payer: WalletRef, amount_minor: int, *, key: str) -> Request:
        """Gives what was set aside back to the payer. An operator asks."""

    def read_balance(self, wallet: WalletRef) -> Request:
        """Its reply's values carry {"balances": {wallet: minor units}}."""

    def read_balances(self, wallets: Sequence[WalletRef]) -> Request:
        """The bulk read, with the same values."""

    def set_status(self, wallet: WalletRef, status: str) -> Request:
        """active, frozen or closed."""

    def keyed(self, request: Request, key: str | None) -> Request:
        """The same movement under a key that need not be a valid one; None: under no key."""

    def fate_of(self, request: Request) -> Request:
        """Asks what became of this movement, in the name of whoever sent it.

        Its reply's values carry {"fate": "settled", "body": …} with the answer that is kept, or
        "unsettled" while it is under way, or "unknown" when nothing became of it.
        """

    def lock_wallet(self, wallet: WalletRef) -> tuple[str, Sequence[Any]]:
        """SQL that locks the wallet's row, for a side session."""

    def describe(self) -> Request:
        """Something that a worker of the service answers from memory, without any store."""

    def read_truth(self, connection: psycopg2.extensions.connection) -> GroundTruth:
        """Everything, in one REPEATABLE READ snapshot. The connection is idle before and after."""


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One row of a batch, in minor units."""

    payee: WalletRef
    amount_minor: int


class LockTarget(Protocol):
    """Where who moves money can be kept waiting: SQL for a side session."""

    def all_wallets(self) -> tuple[str, Sequence[Any]]:
        """At any wallet, who only reads included."""

    def owner(self, wallet: WalletRef) -> tuple[str, Sequence[Any]]:
        """At the row of whoever owns the wallet."""

    def writes(self) -> Sequence[tuple[str, Sequence[Any]]]:
        """Before a write, each of them before another one."""


class BatchTarget(Protocol):
    """Turns the words of batch payouts into requests."""

    def set_up(self, payer: WalletRef, *, key: str) -> Request:
        """A batch without rows, named by the key; its reply's values have its id."""

    def upload(self, payer: WalletRef, batch_id: str, rows: Sequence[Payment]) -> Request:
        """The rows, as a file."""

    def execution(
        self, payer: WalletRef, batch_id: str, rows: Sequence[Payment], *, work: str
    ) -> Request:
        """Acknowledged when all rows are paid. Requests of one `work` are to have one effect."""

    def compensation(
        self,
        payer: WalletRef,
        batch_id: str,
        rows: Sequence[Payment],
        chosen: Sequence[int],
        *,
        work: str,
    ) -> Request:
        """Takes back what these rows paid; they are counted from 1."""
