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

    def money_column(self) -> TypeEngine[Any]:
        return sa.Double() if self.money == "float" else sa.BigInteger()
