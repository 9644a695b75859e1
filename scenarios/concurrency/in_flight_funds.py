"""Money that is set aside is spent.

Claim    What is held cannot be spent: not by the payer, and not by the payee before it is captured.
Attack   A hold of the whole balance and a payment of it; a capture and a payment by the payee of
         what it brings; each in every order their statements can take. Then a payment and a second
         hold after a hold of nearly everything.
Why      The balance is read, compared and written: both see money that only one of them can have.
Known as Authorisation race, spending pending funds.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    holds_are_counted,
    money_is_conserved,
    never_overdrawn,
    never_paid_out_more_than_held,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import ONE_COMMIT, SERIALISED, all_of


def attack(lab: Lab) -> None:
    payer, payee, shop, other = lab.wallets(100_00, 0, 0, 100_00, round=1)
    # Somebody else's money waits as well.
    lab.must(lab.target.hold(other.ref, payee.ref, 50_00, key=lab.new_key()), round=1)
    lab.explore(
        "a hold and a payment of the whole balance",
        lab.target.hold(payer.ref, payee.ref, 100_00, key=lab.new_key()),
        payer.pays(shop, 100_00),
        round=1,
    )
    payer, payee, shop = lab.wallets(100_00, 20_00, 0, round=2)
    held = lab.must(lab.target.hold(payer.ref, payee.ref, 60_00, key=lab.new_key()), round=2)
    lab.explore(
        "a capture and a payment of what it brings",
        lab.target.capture(held.values["id"], payee.ref, 60_00, key=lab.new_key()),
        payee.pays(shop, 80_00),
        round=2,
    )
    payer, payee, shop = lab.wallets(100_00, 0, 0, round=3)
    lab.must(lab.target.hold(payer.ref, payee.ref, 90_00, key=lab.new_key()), round=3)
    lab.sender.send(payer.pays(shop, 10_01), round=3)
    lab.sender.send(lab.target.hold(payer.ref, shop.ref, 10_01, key=lab.new_key()), round=3)
    lab.must(payer.pays(shop, 10_00), round=3)


SCENARIO = Scenario(
    name="in-flight-funds",
    suite="concurrency",
    claim="What is held cannot be spent.",
    story=__doc__,
    attack=attack,
    invariants=(
        never_paid_out_more_than_held,
        money_is_conserved,
        never_overdrawn,
        balances_are_explained,
        holds_are_counted,
        acknowledged_is_recorded,
    ),
    # What is committed first frees its locks, and the rest is spent before it is written.
    holds_when=all_of(SERIALISED, ONE_COMMIT),
)
