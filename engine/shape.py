"""What a build's switches mean for its tables."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from engine.defences import Defences


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The three switches that change the schema, as one value."""

    money: str
    constraints: bool
    ledger: str

    @property
    def double_entry(self) -> bool:
        """Every movement has a leg in each of its wallets."""
        return self.ledger in {"double_entry", "hash_chain"}

    @property
    def chained(self) -> bool:
        """Every leg has a hash over itself and the hash before it."""
        return self.ledger == "hash_chain"

    @property
    def recorded_movements(self) -> bool:
        """Every movement has a row in `transactions`."""
        return self.ledger != "none"

    @classmethod
    def of(cls, defences: Defences) -> "Shape":
        return cls(
            money=defences.money,
            constraints=defences.constraints == "on",
            ledger=defences.ledger,
        )

    @property
    def label(self) -> str:
        """Identifies the shape, also as part of a database's name."""
        ledger = self.ledger.removesuffix("_entry").removeprefix("hash_")
        if self.ledger == "none":
            ledger = "unrecorded"
        return f"{self.money}-{'constrained' if self.constraints else 'unconstrained'}-{ledger}"

    @classmethod
    def recorded(
        cls, connection: sa.Connection, *, wanted: "Shape | None" = None
    ) -> "Shape | None":
        """The shape that this database was migrated with, or None when it never was.

        Before revision 0013 a ledger is known by its legs only, and is still what `wanted` says.
        """
        if not sa.inspect(connection).has_table("schema_shape"):
            return None
        row = connection.execute(sa.text("SELECT * FROM schema_shape")).mappings().one()
        ledger = "double_entry" if row["double_entry"] else "single_entry"
        if wanted is not None and wanted.double_entry == row["double_entry"]:
            ledger = wanted.ledger
        return cls(
            money=row["money"],
            constraints=row["constraints"],
            ledger=row.get("ledger", ledger),
        )

    def money_column(self) -> TypeEngine[Any]:
        kinds: dict[str, TypeEngine[Any]] = {
            "float": sa.Double(),
            "numeric": sa.Numeric(18, 2),
            "minor_units": sa.BigInteger(),
        }
        return kinds[self.money]
