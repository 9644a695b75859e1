"""Money on the wire: which amounts pass, and that whatever passes comes back unchanged."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from engine.money import LARGEST_AMOUNT, Money, money_of

STRICT = money_of("minor_units", strict=True)
LAX = money_of("minor_units", strict=False)
FLOATS = money_of("float", strict=False)
STRICT_FLOATS = money_of("float", strict=True)


def parsed(money: Money, wire: Any) -> Any:
    return TypeAdapter(money.wire_type).validate_python(wire)


@given(st.integers(1, LARGEST_AMOUNT), st.sampled_from(["USD", "GOLD"]))
def test_minor_units_come_back_unchanged(amount: int, asset: str) -> None:
    wire = {"amount": amount, "asset": asset}
    assert STRICT.write(*_known(STRICT.read(parsed(STRICT, wire)))) == wire


def _known(read: tuple[Any, str | None]) -> tuple[Any, str]:
    amount, asset = read
    assert asset is not None
    return amount, asset


@pytest.mark.parametrize(
    "amount",
    [0, -1, LARGEST_AMOUNT + 1, 10**400, 1.5, 100.0, True, None, "100", "", [], [1], {}, math.nan,
     math.inf, -math.inf, -0.0],
)  # fmt: skip
def test_strict_minor_units_refuse(amount: Any) -> None:
    with pytest.raises(ValidationError):
        parsed(STRICT, {"amount": amount, "asset": "USD"})


@pytest.mark.parametrize("asset", ["", "U" * 17, "US D", "USD\n", "\x00", "€", 5, None])
def test_strict_minor_units_refuse_what_is_no_asset_code(asset: Any) -> None:
    with pytest.raises(ValidationError):
        parsed(STRICT, {"amount": 1, "asset": asset})


@pytest.mark.parametrize("wire", [5, "5", None, [], {"asset": "USD"}, {"amount": 1, "amout": 2}])
def test_strict_minor_units_refuse_other_shapes(wire: Any) -> None:
    with pytest.raises(ValidationError):
        parsed(STRICT, wire)


@pytest.mark.parametrize("amount", [0.001, 0.105, -1.0, 0.0, math.nan, math.inf, True, "1.5"])
def test_strict_floats_refuse(amount: Any) -> None:
    with pytest.raises(ValidationError):
        parsed(STRICT_FLOATS, amount)


@pytest.mark.parametrize("amount", [0.01, 0.1, 12.34, 1e6, 7])
def test_strict_floats_take_whole_cents(amount: float) -> None:
    assert STRICT_FLOATS.read(parsed(STRICT_FLOATS, amount)) == (amount, None)


@pytest.mark.parametrize("amount", [-5, True])
def test_lax_minor_units_take_what_should_not_pass(amount: Any) -> None:
    assert LAX.read(parsed(LAX, {"amount": amount}))[0] == amount


@given(st.floats())
def test_whatever_floats_hold_can_be_written_as_json(amount: float) -> None:
    text = json.dumps(FLOATS.write(amount, "USD"), allow_nan=False)
    assert math.isnan(amount) or float(json.loads(text)) == amount


NUMERICS = money_of("numeric", strict=False)
STRICT_NUMERICS = money_of("numeric", strict=True)


@given(st.integers(1, 10**14))
def test_numerics_are_the_decimals_that_came(cents: int) -> None:
    wire = cents / 100
    amount: Any
    amount, asset = STRICT_NUMERICS.read(parsed(STRICT_NUMERICS, wire))
    assert (amount, asset) == (Decimal(cents) / 100, None)
    assert NUMERICS.write(amount, "USD") == wire


def test_numerics_keep_digits_that_the_column_will_not() -> None:
    amount: Any
    amount, _ = STRICT_NUMERICS.read(parsed(STRICT_NUMERICS, 0.005))
    assert amount == Decimal("0.005")


@pytest.mark.parametrize("amount", [0, -0.01, math.nan, math.inf, True, "1", None, 1e300])
def test_strict_numerics_refuse(amount: Any) -> None:
    with pytest.raises(ValidationError):
        parsed(STRICT_NUMERICS, amount)
