"""Amounts that are none.

Claim    What is no amount of money is refused with 4xx and has no effect.
Attack   Transfers of negative, zero, NaN, infinite, too large, too fine, boolean and text
         amounts.
Why      Every comparison with NaN is false, -5 is less than any balance, and true is 1.
Known as Input validation; negative transfer, numeric edge cases.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    never_overdrawn,
    refused,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.requirements import answered

AMOUNTS = (
    "-500",
    "0",
    "-0",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    '"1"',
    "1.001",
    "9223372036854775808",
    "true",
)


def attack(lab: Lab) -> None:
    for number, amount in enumerate(AMOUNTS, start=1):
        payer, payee = lab.wallets(100_00, 100_00, round=number)
        lab.sender.send(payer.pays_raw(payee, amount), round=number)


SCENARIO = Scenario(
    name="bad-amounts",
    suite="money",
    claim="What is no amount of money is refused with 4xx and has no effect.",
    story=__doc__,
    attack=attack,
    invariants=(
        refused("bad-transfer"),
        balances_are_explained,
        acknowledged_is_recorded,
        never_overdrawn,
    ),
    # NUMERIC rounds what is too fine.
    holds_when=all_of(switch("validation", "strict"), switch("money", "float", "minor_units")),
    strength="bounded",
    requires=(answered("bad-transfer"),),
)
