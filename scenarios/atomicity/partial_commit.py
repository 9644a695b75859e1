"""The service dies in the middle of a transfer.

Claim    A transfer is whole or nothing.
Attack   A side session locks the payee's row. When the transfer is seen waiting for it, the service
         is killed, or its database session is cut; then it starts again.
Why      Whoever commits the debit before the credit has taken money that nobody gets.
Known as Partial commit, torn write; atomicity.
"""

from scenarios.atomicity.dying import NOT_WAITING, Death, die_while_waiting
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import never, struck

DEATHS: tuple[Death, ...] = ("kill", "cut")
TIMES_EACH = 2


def attack(lab: Lab) -> None:
    number = 0
    for death in DEATHS:
        for _ in lab.rounds(TIMES_EACH):
            number += 1
            payer, payee = lab.wallets(100_00, 20_00, round=number)
            die_while_waiting(lab, payer.pays(payee, 60_00), payee, death, number=number)


SCENARIO = Scenario(
    name="partial-commit",
    suite="partial commit",
    claim="A transfer is whole or nothing, wherever the service dies.",
    story=__doc__,
    attack=attack,
    invariants=(money_is_conserved, balances_are_explained, acknowledged_is_recorded),
    holds_when=switch("unit_of_work", "per_movement", "atomic"),
    requires=(struck("waiting", "kill", "cut"), never(NOT_WAITING)),
    strength="bounded",
)
