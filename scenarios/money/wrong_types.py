"""Amounts of the wrong type.

Claim    An amount of the wrong type is refused with 4xx and has no effect.
Attack   Transfers whose amount is null, a list, an object without an amount, or a word.
Why      Types are checked by the framework before any code of the service runs; a service that
         reads the body by hand has to do it itself.
Known as Type confusion, input validation.
"""

from scenarios.invariants import acknowledged_is_recorded, balances_are_explained, refused
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import nothing
from scenarios.requirements import answered

AMOUNTS = ("null", "[1]", '{"value":1}', '"ten"')


def attack(lab: Lab) -> None:
    for number, amount in enumerate(AMOUNTS, start=1):
        payer, payee = lab.wallets(100_00, 100_00, round=number)
        lab.sender.send(payer.pays_raw(payee, amount), round=number)


SCENARIO = Scenario(
    name="wrong-types",
    suite="money",
    claim="An amount of the wrong type is refused with 4xx and has no effect.",
    story=__doc__,
    attack=attack,
    invariants=(refused("bad-transfer"), balances_are_explained, acknowledged_is_recorded),
    holds_when=nothing(),
    strength="bounded",
    requires=(answered("bad-transfer"),),
)
