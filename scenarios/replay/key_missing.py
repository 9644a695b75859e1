"""A payment comes without a key.

Claim    A movement without a valid key is refused with 4xx where one is required.
Attack   Payments without a key, with an empty one, one of 300 characters, and one that holds a
         space.
Why      A movement that cannot be recognised cannot be repeated safely. A service that makes up a
         key by itself has only hidden that from its client.
Known as Missing idempotency key, input validation.
"""

from dataclasses import replace

from scenarios.invariants import acknowledged_is_recorded, balances_are_explained, refused
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import unless
from scenarios.requirements import answered

UNKEYED = "transfer-without-key"
KEYS = (None, "", "k" * 300, "two words")


def attack(lab: Lab) -> None:
    for number, key in enumerate(KEYS, start=1):
        payer, payee = lab.wallets(100_00, 0, round=number)
        unkeyed = lab.target.keyed(payer.pays(payee, 10_00), key)
        lab.sender.send(replace(unkeyed, name=UNKEYED), round=number)


SCENARIO = Scenario(
    name="key-missing",
    suite="replay",
    claim="A movement without a valid key is refused with 4xx where one is required.",
    story=__doc__,
    attack=attack,
    invariants=(refused(UNKEYED), acknowledged_is_recorded, balances_are_explained),
    holds_when=unless("idempotency", "off"),
    requires=(answered(UNKEYED),),
    strength="bounded",
)
