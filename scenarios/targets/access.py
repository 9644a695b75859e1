"""What a service has to offer to be attacked by people who may not: words about who asks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from attacks.http.request import Request
from scenarios.targets.protocol import WalletRef


@dataclass(frozen=True, kw_only=True)
class Peek:
    """A look at something of somebody else's, and the same look at something that is not there."""

    there: Request
    nowhere: Request


@dataclass(frozen=True, kw_only=True)
class Belongings:
    """What somebody has, by id: there to be looked at by others."""

    wallet: WalletRef
    movement: str
    hold: str
    batch: str
    payment: Request
    """One that has its effect: its key is the victim's."""


class Access(Protocol):
    """Turns words about identity into requests."""

    def as_other(self, request: Request, name: str, by: WalletRef) -> Request:
        """The same request, sent by this wallet's owner under another name."""

    def pays_with_pin(
        self, payer: WalletRef, payee: WalletRef, amount_minor: int, *, pin: str | None, key: str
    ) -> Request:
        """A transfer with this PIN in place of the owner's, named "guess"."""

    def wrong_pin(self, wallet: WalletRef) -> str:
        """Four digits that are not the owner's."""

    def change_pin(self, wallet: WalletRef, new: str) -> Request:
        """Set a PIN without sending the one that is set."""

    def log_out(self, wallet: WalletRef) -> Request: ...

    def peeks(self, theirs: Belongings, by: WalletRef) -> Mapping[str, Peek]:
        """By what is looked at."""

    def privileged(self, wallet: WalletRef, other: WalletRef, *, key: str) -> tuple[Request, ...]:
        """What takes a role that the wallet's owner does not have; named "privileged"."""

    def opens_naming(self, wallet: WalletRef, columns: Mapping[str, Any]) -> Request:
        """The owner opens one more wallet and names these columns of its row, too: "open-wallet".

        The reply's values have its id.
        """

    def reads(self, wallet: WalletRef) -> Request:
        """The owner reads the wallet."""

    def sign(self, claims: Mapping[str, Any], secret: str | None = None) -> str:
        """A token of these claims as the service itself would sign it, or with this secret."""

    def watched(self, request: Request, *secrets: str | None) -> Request:
        """The same request; the reply's values name what its answer tells under "leaks"."""

    def secrets_in(self, text: str, *secrets: str | None) -> list[str]:
        """What a text of the service's tells that no log should: these secrets, or its own."""


Forge = Callable[[Access, Mapping[str, Any]], str]
"""Makes a token out of the claims of a good one."""
