"""Payments race for one balance.

Claim    A wallet never pays out more than it held, however many requests arrive at once.
Attack   Two payments of the whole balance, in every order their statements can take.
Why      The balance is read, compared, then written. Whoever reads between the other's read and
         write sees the old balance and is right to pay.
Known as Double spend, limit overrun; lost update (P4).
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    never_overdrawn,
    never_paid_out_more_than_held,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import SERIALISED


def attack(lab: Lab) -> None:
    payer, shop, mall = lab.wallets(100_00, 0, 0, round=1)
    lab.explore(
        "two payments of the whole balance",
        payer.pays(shop, 100_00),
        payer.pays(mall, 100_00),
        round=1,
    )


SCENARIO = Scenario(
    name="double-spend",
    suite="double spend",
    claim="A wallet never pays out more than it held.",
    story=__doc__,
    attack=attack,
    invariants=(
        never_paid_out_more_than_held,
        money_is_conserved,
        never_overdrawn,
        balances_are_explained,
        acknowledged_is_recorded,
    ),
    holds_when=SERIALISED,
)
