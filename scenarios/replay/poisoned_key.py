"""The service dies while a key is in flight.

Claim    A crash while a key is in flight does not block it: the retry succeeds.
Attack   A payment, and a chain of two movements. At each statement once the service is killed and
         once the database's answer is lost, and the service is killed after the last. Then the
         same request again with its key.
Why      The key was stored before the work was done, by a commit of its own. Whoever comes back
         finds a key that is taken and an answer that nobody will ever write.
Known as Poisoned key, stuck in progress; recovery point.
"""

from attacks.postgres.faults import REPLY_LOST
from scenarios.invariants.keys import retries_succeed
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import any_of, switch, unless


def attack(lab: Lab) -> None:
    faults = (REPLY_LOST, lab.kill_before)
    payer, payee = lab.wallets(100_00, 20_00, round=1)
    lab.strike(
        "a payment and its retry",
        payer.pays(payee, 10_00),
        faults,
        at_the_end=(lab.kill_after,),
        round=1,
    )
    payer, payee = lab.wallets(100_00, 20_00, round=2)
    lab.strike(
        "a chain and its retry",
        payer.chains(payee, 10_00),
        faults,
        at_the_end=(lab.kill_after,),
        round=2,
    )


SCENARIO = Scenario(
    name="poisoned-key",
    suite="replay",
    claim="A crash while a key is in flight does not block it: the retry succeeds.",
    story=__doc__,
    attack=attack,
    invariants=(retries_succeed,),
    holds_when=any_of(
        # Only a claim stores a key before its work.
        unless("idempotency", "claim"),
        switch("unit_of_work", "swallow_then_commit", "atomic"),
    ),
    strength="bounded",
)
