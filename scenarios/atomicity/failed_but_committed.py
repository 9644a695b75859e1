"""A payment is committed, and its client hears of an error.

Claim    An error that was committed is never called a definite failure, and the retry finds it out.
Attack   A payment whose answer from the database is lost, at each of its statements; and one whose
         COMMIT is answered when the client has long stopped waiting. Then the same request again
         with the same key.
Why      The service does not know whether COMMIT came through. If it says "failed", or if the retry
         cannot be told from a new request, the money moves twice.
Known as Ambiguous commit, in-doubt transaction; time-out is not failure.
"""

from attacks.postgres.faults import REPLY_LATE, REPLY_LOST
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
        "a payment and its retry",
        payer.pays(payee, 10_00, key=lab.new_key()),
        (REPLY_LOST,),
        at_the_end=(REPLY_LATE,),
        round=1,
    )


SCENARIO = Scenario(
    name="failed-but-committed",
    suite="atomicity",
    claim="An error that was committed is never called a failure, and its retry finds it out.",
    story=__doc__,
    attack=attack,
    invariants=(acknowledged_is_recorded, balances_are_explained, money_is_conserved),
    holds_when=switch("idempotency", "check_then_insert", "claim"),
    strength="bounded",
)
