"""Money comes from somewhere and goes somewhere.

Claim    All balances of an asset, the service's own included, add up to zero at any time.
Attack   Deposits, a payment, a withdrawal, a chain, and a hold whose money still waits.
Why      A deposit that only raises a balance cannot be told from a balance that somebody raised:
         no sum over the books proves anything.
Known as Trial balance; every movement has two sides, the outside world is an account.
"""

from scenarios.invariants import balances_are_explained, everything_sums_to_zero
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import acknowledged


def attack(lab: Lab) -> None:
    # Quarters: binary fractions have them, so that floats add up here as well.
    payer, payee = lab.wallets(100_25, 5_50, round=1)
    for request in (
        payer.pays(payee, 10_75),
        payer.pays_out(20_50),
        payer.chains(payee, 3_25),
        lab.target.hold(payer.ref, payee.ref, 7_25, key=lab.new_key()),
    ):
        lab.sender.send(request, round=1)


SCENARIO = Scenario(
    name="zero-sum",
    suite="money",
    claim="All balances of an asset, the service's own included, add up to zero.",
    story=__doc__,
    attack=attack,
    invariants=(everything_sums_to_zero, balances_are_explained),
    holds_when=switch("funding", "system"),
    requires=(acknowledged,),
    strength="bounded",
)
