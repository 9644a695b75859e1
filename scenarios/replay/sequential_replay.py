"""The same request comes again, one after the other.

Claim    The same key with the same body has one effect and one answer.
Attack   One transfer, sent five times with one key, each after the answer to the last.
Why      A client that repeats its request cannot be told from one that wants to pay again.
Known as Replay, duplicate submission; idempotency.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    replays_answer_alike,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import acknowledged

ROUNDS = 3
TIMES = 5


def attack(lab: Lab) -> None:
    for number in lab.rounds(ROUNDS):
        payer, payee = lab.wallets(100_00, 0, round=number)
        request = payer.pays(payee, 10_00, key=lab.new_key())
        for _ in range(TIMES):
            lab.sender.send(request, round=number)


SCENARIO = Scenario(
    name="sequential-replay",
    suite="replay",
    claim="The same key with the same body has one effect and one answer.",
    story=__doc__,
    attack=attack,
    invariants=(
        acknowledged_is_recorded,
        balances_are_explained,
        replays_answer_alike,
        money_is_conserved,
    ),
    holds_when=switch("idempotency", "memory", "redis_only", "check_then_insert", "claim"),
    requires=(acknowledged,),
    strength="bounded",
)
