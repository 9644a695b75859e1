"""A payment fails because of another one, and is tried again.

Claim    A retry after a serialisation failure or a deadlock starts again from fresh values.
Attack   A payment, twice for each of its statements: there the database fails it, with 40001 and
         with 40P01. Before it can go on, another payment from the same wallet runs to its end.
Why      The values that were read before the failure are the ones that caused it. Written again,
         they take back what the other payment did.
Known as Stale retry; lost update through a retry loop.
"""

from attacks.postgres.faults import RETRIABLE, fails_with
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    never_paid_out_more_than_held,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch


def attack(lab: Lab) -> None:
    payer, shop, mall = lab.wallets(100_00, 0, 0, round=1)
    lab.strike(
        "a payment that fails once, beside another",
        payer.pays(shop, 60_00),
        [fails_with(sqlstate) for sqlstate in RETRIABLE],
        beside=payer.pays(mall, 60_00),
        round=1,
        retry=False,
    )


SCENARIO = Scenario(
    name="stale-retry",
    suite="concurrency",
    claim="A retry after a serialisation failure or a deadlock starts again from fresh values.",
    story=__doc__,
    attack=attack,
    invariants=(
        never_paid_out_more_than_held,
        money_is_conserved,
        balances_are_explained,
        acknowledged_is_recorded,
    ),
    holds_when=switch("retry", "none", "blind", "bounded"),
    strength="bounded",
)
