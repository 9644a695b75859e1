"""What a service that pays batches out has to offer to be attacked there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from attacks.http.request import Request
from scenarios.targets.protocol import WalletRef


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One row of a batch, in minor units."""

    payee: WalletRef
    amount_minor: int


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
