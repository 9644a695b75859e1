"""How money is written on the wire and in the database (`money`), and which amounts pass.

`minor_units` builds speak {"amount": 1250, "asset": "USD"} in whole cents; `float` and `numeric`
builds speak 12.5. The limit is 2^53 - 1, the largest whole number that every JSON reader keeps.
"""

import math
from decimal import Decimal
from typing import Annotated, Any, Literal, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field

from engine.defences import Defences
from engine.schema import Amount

LARGEST_AMOUNT = 2**53 - 1
DEFAULT_ASSET = "USD"
AssetCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,16}$", examples=["USD"])]


class Money(Protocol):
    """Between the wire and the database."""

    wire_type: Any
    """The type of an amount in a request body, for pydantic and OpenAPI."""
    view_type: Any
    """The type of an amount or a balance in an answer, for OpenAPI."""

    def read(self, wire: Any) -> tuple[Amount, str | None]:
        """The amount and its asset's code; None means whatever the wallet holds."""

    def write(self, amount: Amount, asset: str) -> Any: ...

    def of_decimal(self, major: Decimal, decimals: int) -> Amount:
        """From major units, as people and files write them, of an asset with so many decimals."""


class StrictMinorUnits(BaseModel):
    model_config = ConfigDict(extra="forbid")
    amount: Annotated[int, Field(strict=True, gt=0, le=LARGEST_AMOUNT, examples=[1250])]
    asset: AssetCode = DEFAULT_ASSET


class MinorUnitsView(BaseModel):
    amount: int
    asset: str


class LaxMinorUnits(BaseModel):
    amount: int
    asset: str = DEFAULT_ASSET


StrictFloat = Annotated[
    float, Field(strict=True, gt=0, le=LARGEST_AMOUNT / 100, allow_inf_nan=False, multiple_of=0.01)
]

# No word on digits: the column has two, and rounds the rest.
StrictNumber = Annotated[
    float, Field(strict=True, gt=0, le=LARGEST_AMOUNT / 100, allow_inf_nan=False)
]


class MinorUnits:
    view_type: Any = MinorUnitsView

    def __init__(self, *, strict: bool) -> None:
        self.wire_type: Any = StrictMinorUnits if strict else LaxMinorUnits

    def read(self, wire: Any) -> tuple[Amount, str | None]:
        return wire.amount, wire.asset

    def write(self, amount: Amount, asset: str) -> Any:
        return {"amount": int(amount), "asset": asset}

    def of_decimal(self, major: Decimal, decimals: int) -> Amount:
        return int(major.scaleb(decimals))


class Floats:
    view_type: Any = float | Literal["nan", "inf", "-inf"]

    def __init__(self, *, strict: bool) -> None:
        self.wire_type: Any = StrictFloat if strict else float

    def read(self, wire: Any) -> tuple[Amount, str | None]:
        return float(wire), None

    def write(self, amount: Amount, asset: str) -> Any:  # noqa: ARG002 - one signature for both
        return json_number(amount)

    def of_decimal(self, major: Decimal, decimals: int) -> Amount:  # noqa: ARG002 - as above
        return float(major)


class Numerics:
    """Decimals with as many digits as came; each balance is rounded where it is stored."""

    view_type: Any = float | Literal["nan", "inf", "-inf"]

    def __init__(self, *, strict: bool) -> None:
        self.wire_type: Any = StrictNumber if strict else float

    def read(self, wire: Any) -> tuple[Amount, str | None]:
        return cast("Amount", Decimal(repr(float(wire)))), None

    def write(self, amount: Amount, asset: str) -> Any:  # noqa: ARG002 - one signature for all
        return json_number(float(amount))

    def of_decimal(self, major: Decimal, decimals: int) -> Amount:  # noqa: ARG002 - as above
        return cast("Amount", major)


def json_number(amount: Amount) -> Amount | str:
    """NaN and the infinities have no JSON: as text they keep an answer readable."""
    return amount if math.isfinite(amount) else str(amount)


def money_of(kind: str, *, strict: bool) -> Money:
    kinds: dict[str, type[Floats | Numerics | MinorUnits]] = {
        "float": Floats,
        "numeric": Numerics,
        "minor_units": MinorUnits,
    }
    return kinds[kind](strict=strict)


def is_strict(defences: Defences) -> bool:
    """Whether amounts and wallets are checked before anything runs (switch `validation`)."""
    return defences.validation == "strict"
