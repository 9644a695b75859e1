"""Money is cut into parts.

Claim    Parts add up to the whole, to the last cent; 0.10 ten times is 1.00.
Attack   Ten deposits of 0.10; a payment of 10.00 in parts of 3.33, 3.33 and 3.34; and two payments
         of half a cent, which are to be refused or to leave the sum as it is.
Why      Binary fractions have no 0.1, so that sums drift. Decimal ones with two digits have no half
         a cent: payer and payee are rounded each by itself, both of them upwards.
Known as Rounding error, salami slicing; floating point money.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch

PARTS_MINOR = (3_33, 3_33, 3_34)
HALF_A_CENT = "0.005"


def attack(lab: Lab) -> None:
    (wallet,) = lab.wallets(0, round=1)
    for _ in range(10):
        lab.must(wallet.receives(10), round=1)
    payer, payee = lab.wallets(10_00, 0, round=2)
    for amount_minor in PARTS_MINOR:
        lab.must(payer.pays(payee, amount_minor), round=2)
    payer, payee = lab.wallets(1_00, 1_00, round=3)
    for _ in range(2):
        lab.sender.send(payer.pays_raw(payee, HALF_A_CENT), round=3)


SCENARIO = Scenario(
    name="rounding",
    suite="money",
    claim="Parts add up to the whole, to the last cent; 0.10 ten times is 1.00.",
    story=__doc__,
    attack=attack,
    invariants=(money_is_conserved, balances_are_explained, acknowledged_is_recorded),
    holds_when=switch("money", "minor_units"),
    strength="bounded",
)
