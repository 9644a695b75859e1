"""Somebody pays from a wallet that is not theirs.

Claim    The payer is who the token says.
Attack   A user with a good token and a good PIN sends transfers, withdrawals and chains from
         another's wallet.
Why      The payer's wallet is a number in the body, and whoever is logged in can write any number.
Known as Broken object level authorization (OWASP API1), insecure direct object reference.
"""

from collections.abc import Callable

from attacks.http.request import Request
from scenarios.access.needs import OWNERS_ARE_ASKED
from scenarios.invariants import balances_are_explained, refused
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.requirements import answered


def _withdrawal(payer: Wallet, _: Wallet, amount_minor: int) -> Request:
    return payer.pays_out(amount_minor)


PAYMENTS: tuple[Callable[[Wallet, Wallet, int], Request], ...] = (
    Wallet.pays,
    _withdrawal,
    Wallet.chains,
)


def attack(lab: Lab) -> None:
    for number, payment in enumerate(PAYMENTS, start=1):
        victim, thief = lab.wallets(50_00, 1_00, round=number)
        theft = lab.access.as_other(payment(victim, thief, 49_00), "theft", thief.ref)
        lab.sender.send(theft, round=number)
        lab.must(victim.pays_out(50), round=number)
        lab.must(thief.pays_out(50), round=number)


SCENARIO = Scenario(
    name="impersonation",
    suite="access",
    claim="The payer is who the token says.",
    story=__doc__,
    attack=attack,
    invariants=(refused("theft"), balances_are_explained),
    holds_when=OWNERS_ARE_ASKED,
    strength="bounded",
    requires=(answered("theft"),),
)
