"""An owner with a daily limit pays from two wallets at once.

Claim    What one owner pays out in a day stays within the limit, from however many wallets.
Attack   A payment out of each of two wallets, each within the daily limit and both above it, in
         every order their statements can take.
Why      Each payment adds up what the owner has paid today, and then adds a row. The other's row
         was not there to be locked when the sum was taken.
Known as Phantom (P3, A3), limit overrun; write skew over a predicate.
"""

from scenarios.concurrency.write_skew import ONE_BY_ONE
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    never_overdrawn,
    paid_out_at_most,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import RECORDED, all_of, switch

LIMIT_MINOR = 100_00


def attack(lab: Lab) -> None:
    main, shop, mall = lab.wallets(100_00, 0, 0, round=1)
    savings = lab.beside(main, 100_00, round=1)
    lab.must(main.limits_its_owner(daily_cap_minor=LIMIT_MINOR), round=1)
    lab.must(main.pays(shop, 1_00), round=1)
    lab.explore(
        "a payment out of each of two wallets",
        main.pays(shop, 60_00),
        savings.pays(mall, 60_00),
        round=1,
    )


SCENARIO = Scenario(
    name="phantom",
    suite="concurrency",
    claim="What one owner pays out in a day stays within the limit, from however many wallets.",
    story=__doc__,
    attack=attack,
    invariants=(
        paid_out_at_most(LIMIT_MINOR),
        money_is_conserved,
        never_overdrawn,
        balances_are_explained,
        acknowledged_is_recorded,
    ),
    holds_when=all_of(
        ONE_BY_ONE,
        switch("unit_of_work", "per_movement", "swallow_then_commit", "atomic"),
        RECORDED,
    ),
)
