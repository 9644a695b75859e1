"""The service dies in the middle of a transfer.

Claim    A transfer is whole or nothing.
Attack   A payment is sent again and again. At each of its statements once the service is killed,
         once its database connection is reset, once the database's answer is lost, once its backend
         is ended; and the service is killed after the last. Then it starts again.
Why      Whoever commits the debit before the credit has taken money that nobody gets.
Known as Partial commit, torn write; atomicity.
"""

from attacks.postgres.faults import CONNECTION_RESET, REPLY_LOST
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 20_00, round=1)
    lab.strike(
        "a payment",
        payer.pays(payee, 60_00),
        (CONNECTION_RESET, REPLY_LOST, lab.terminated, lab.kill_before),
        at_the_end=(lab.kill_after,),
        round=1,
        retry=False,
    )


SCENARIO = Scenario(
    name="partial-commit",
    suite="partial commit",
    claim="A transfer is whole or nothing, wherever the service dies.",
    story=__doc__,
    attack=attack,
    invariants=(money_is_conserved, balances_are_explained, acknowledged_is_recorded),
    holds_when=switch("unit_of_work", "per_movement", "swallow_then_commit", "atomic"),
    strength="bounded",
)
