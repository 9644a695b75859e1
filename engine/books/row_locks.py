"""How rows of wallets are locked when they are read to be written."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select

from engine.builds import Traits
from engine.schema import Wallet


@dataclass(frozen=True, kw_only=True)
class RowLocks:
    """By default FOR NO KEY UPDATE: every foreign-key check of an insert takes FOR KEY SHARE."""

    literal: bool = False
    """FOR UPDATE, for which those checks wait."""
    by_owner: bool = False

    @classmethod
    def of(cls, traits: Traits) -> "RowLocks":
        return cls(literal=traits.locks_for_update, by_owner=traits.locks_by_owner)

    def added_to(self, query: Select[Any]) -> Select[Any]:
        """The rows are locked in the order in which they come."""
        if self.by_owner:
            query = query.order_by(None).order_by(Wallet.user_id, Wallet.id)
        return query.with_for_update(key_share=not self.literal)

    @property
    def clauses(self) -> str:
        """The same, as SQL."""
        order = "wallets.user_id, wallets.id" if self.by_owner else "wallets.id"
        return f"ORDER BY {order} FOR {'UPDATE' if self.literal else 'NO KEY UPDATE'}"
