"""A payment is given back twice at the same moment.

Claim    A movement is reversed at most once.
Attack   Two reversals of one payment, in every order their statements can take; then one after the
         other.
Why      Whether it was reversed before is looked up first and written down later. Between the two
         somebody else looks, and finds nothing either.
Known as Double refund; check-then-act, time of check to time of use.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    never_overdrawn,
    settled_once,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import ONCE, RECORDED

PAID_MINOR = 60_00


def attack(lab: Lab) -> None:
    for number in (1, 2):
        # The payee can pay it back twice: only that it was paid back stands in the way.
        payer, payee = lab.wallets(100_00, 80_00, round=number)
        paid = lab.must(payer.pays(payee, PAID_MINOR), round=number)
        first, second = (
            lab.target.reverse(
                paid.values["id"], payer.ref, payee.ref, PAID_MINOR, key=lab.new_key()
            )
            for _ in range(2)
        )
        if number == 1:
            lab.explore("two reversals of one payment", first, second, round=number)
        else:
            lab.must(first, round=number)
            lab.sender.send(second, round=number)


SCENARIO = Scenario(
    name="double-reverse",
    suite="concurrency",
    claim="A movement is reversed at most once.",
    story=__doc__,
    attack=attack,
    invariants=(
        settled_once,
        money_is_conserved,
        balances_are_explained,
        acknowledged_is_recorded,
        never_overdrawn,
    ),
    holds_when=ONCE,
    applies_when=RECORDED,
    applies_not="this build records no movement that could be given back",
)
