"""How money is written in the engine's requests, answers and tables."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EngineMoney:
    kind: str
    """The value of the switch `money`."""
    usual_asset: str

    @property
    def bare_numbers(self) -> bool:
        return self.kind != "minor_units"

    def sent(self, amount_minor: int, asset: str | None = None) -> Any:
        if self.bare_numbers:
            return amount_minor / 100
        return {"amount": amount_minor, "asset": asset or self.usual_asset}

    def stored_minor(self, stored: Any) -> Decimal:
        if self.kind == "float":
            return Decimal(repr(stored)) * 100
        return Decimal(stored) * (100 if self.bare_numbers else 1)

    def received_minor(self, wire: Any) -> int | str:
        """Whole minor units; what is no whole number of them stays as the text that came."""
        if not self.bare_numbers:
            return int(wire["amount"])
        minor = Decimal(str(wire)) * 100
        whole = minor.is_finite() and minor == minor.to_integral_value()
        return int(minor) if whole else str(wire)
