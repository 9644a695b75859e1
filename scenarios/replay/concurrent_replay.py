"""The same request comes five times at once.

Claim    Twins that arrive at once have one effect; the rest get the same answer or 409.
Attack   One transfer, sent five times with one key, released together, over several rounds.
Why      All five look for the key before any of them has stored it.
Known as Concurrent replay, double click; idempotency race.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    no_server_error,
    replays_answer_alike,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.requirements import acknowledged, overlapped

ROUNDS = 6
TWINS = 5


def attack(lab: Lab) -> None:
    for number in lab.rounds(ROUNDS):
        payer, payee = lab.wallets(100_00, 0, round=number)
        request = payer.pays(payee, 10_00, key=lab.new_key())
        lab.sender.together([request] * TWINS, round=number)
        lab.sender.send(request, round=number)


SCENARIO = Scenario(
    name="concurrent-replay",
    suite="replay",
    claim="Twins that arrive at once have one effect; the rest get the same answer or 409.",
    story=__doc__,
    attack=attack,
    invariants=(
        acknowledged_is_recorded,
        balances_are_explained,
        replays_answer_alike,
        no_server_error,
        money_is_conserved,
    ),
    holds_when=all_of(switch("idempotency", "claim"), switch("key_in_flight", "conflict", "wait")),
    requires=(overlapped, acknowledged),
)
