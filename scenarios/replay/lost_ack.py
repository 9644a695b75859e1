"""The answer is lost, and the client tries again.

Claim    Work whose answer was lost, sent again with its key, has one effect.
Attack   A payment whose COMMIT the database has executed and whose answer never comes: the
         service's connection is reset, the service is killed, or the client's connection is reset
         when the service has begun to answer. Then the same request again with the same key.
Why      The client cannot know whether it was paid. Without a key its only choices are to pay twice
         or perhaps not at all.
Known as Lost acknowledgement, retry after time-out; exactly-once.
"""

from attacks.http.lost_answer import send_and_lose_answer
from attacks.postgres.faults import REPLY_LOST
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import acknowledged, struck_in_every_round

ROUNDS = 2


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 0, round=1)
    lab.strike(
        "a payment and its retry",
        payer.pays(payee, 10_00, key=lab.new_key()),
        (),
        at_the_end=(REPLY_LOST, lab.kill_after),
        round=1,
    )
    for number in range(2, ROUNDS + 2):
        payer, payee = lab.wallets(100_00, 0, round=number)
        request = payer.pays(payee, 10_00, key=lab.new_key())
        send_and_lose_answer(lab.base_url, request, lab.recorder, round=number)
        lab.sender.send(request, round=number)


SCENARIO = Scenario(
    name="lost-ack",
    suite="replay",
    claim="Work whose answer was lost, sent again with its key, has one effect.",
    story=__doc__,
    attack=attack,
    invariants=(acknowledged_is_recorded, balances_are_explained, money_is_conserved),
    holds_when=switch("idempotency", "check_then_insert", "claim"),
    requires=(struck_in_every_round("lost-answer"), acknowledged),
    strength="bounded",
)
