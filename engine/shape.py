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
    double_entry: bool

    @classmethod
    def of(cls, defences: Defences) -> "Shape":
        return cls(
            money=defences.money,
            constraints=defences.constraints == "on",
            double_entry=defences.ledger == "double_entry",
        )

    @property
    def label(self) -> str:
        """Identifies the shape, also as part of a database's name."""
        ledger = "double" if self.double_entry else "single"
        return f"{self.money}-{'constrained' if self.constraints else 'unconstrained'}-{ledger}"

    @classmethod
    def recorded(cls, connection: sa.Connection) -> "Shape | None":
        """The shape that this database was migrated with, or None when it never was."""
        if not sa.inspect(connection).has_table("schema_shape"):
            return None
        columns = sa.text("SELECT money, constraints, double_entry FROM schema_shape")
        row = connection.execute(columns).one()
        return cls(money=row.money, constraints=row.constraints, double_entry=row.double_entry)

    def money_column(self) -> TypeEngine[Any]:
        kinds: dict[str, TypeEngine[Any]] = {
            "float": sa.Double(),
            "numeric": sa.Numeric(18, 2),
            "minor_units": sa.BigInteger(),
        }
        return kinds[self.money]
