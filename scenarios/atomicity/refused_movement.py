"""A transfer is refused.

Claim    A refused transfer has no effect.
Attack   Transfers of more than the payer holds, to an unknown wallet, to a frozen one and from a
         frozen one.
Why      Whoever writes before everything is decided has to undo it, and may die before that.
Known as Failure atomicity, strong exception safety.
"""

from dataclasses import replace

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import nothing
from scenarios.targets.protocol import WalletRef

NOBODY = "999999999"


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 20_00, round=1)
    lab.sender.send(payer.pays(payee, 100_01), round=1)
    nobody = replace(payee, ref=WalletRef(id=NOBODY))
    lab.sender.send(payer.pays(nobody, 60_00), round=1)
    lab.must(payee.becomes("frozen"), round=1)
    lab.sender.send(payer.pays(payee, 60_00), round=1)
    lab.sender.send(payee.pays(payer, 20_00), round=1)


SCENARIO = Scenario(
    name="refused-movement",
    suite="atomicity",
    claim="A refused transfer has no effect.",
    story=__doc__,
    attack=attack,
    invariants=(money_is_conserved, balances_are_explained, acknowledged_is_recorded),
    holds_when=nothing(),
    strength="bounded",
)
