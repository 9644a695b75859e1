"""What a service has to offer to be attacked: wallet words, and a look behind its API."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    owner: str = ""
    asset: str | None = None
    """None: the one that all wallets hold which are opened without naming any."""


class Target(Protocol):
    """Turns wallet words into requests. Amounts are in minor units."""

    def open_wallet(self, ask: Ask, *, can_pay: bool) -> WalletRef:
        """An empty wallet of a new owner; `can_pay` also logs the owner in. Raises TargetError."""

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

    def lock_wallet(self, wallet: WalletRef) -> tuple[str, Sequence[Any]]:
        """SQL that locks the wallet's row, for a side session."""

    def read_truth(self, connection: psycopg2.extensions.connection) -> GroundTruth:
        """Everything, in one REPEATABLE READ snapshot. The connection is idle before and after."""
