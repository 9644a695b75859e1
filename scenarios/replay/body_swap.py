"""A key comes back with another body.

Claim    A key that was used is refused with another body, and moves nothing.
Attack   A payment, then under its key one of another amount and one to another payee, then the
         first one again. And two different payments with one key, in every order that their
         statements can take.
Why      The key is found and its answer is given back, whatever was asked: the client believes that
         this payment was made, and it never was.
Known as Key reuse, body swap; idempotency fingerprint.
"""

from dataclasses import replace

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    refused,
    replays_answer_alike,
)
from scenarios.invariants.keys import one_body_a_key
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.requirements import acknowledged

SWAPPED = "swapped-transfer"


def attack(lab: Lab) -> None:
    payer, payee, other = lab.wallets(100_00, 0, 0, round=1)
    first = payer.pays(payee, 10_00, key=lab.new_key())
    lab.sender.send(first, round=1)
    for swapped in (
        payer.pays(payee, 20_00, key=first.key),
        payer.pays(other, 10_00, key=first.key),
    ):
        lab.sender.send(replace(swapped, name=SWAPPED), round=1)
    lab.sender.send(first, round=1)
    payer, payee, other = lab.wallets(100_00, 0, 0, round=2)
    key = lab.new_key()
    lab.explore(
        "two payments with one key",
        payer.pays(payee, 10_00, key=key),
        payer.pays(other, 20_00, key=key),
        round=2,
    )


SCENARIO = Scenario(
    name="body-swap",
    suite="replay",
    claim="A key that was used is refused with another body, and moves nothing.",
    story=__doc__,
    attack=attack,
    invariants=(
        one_body_a_key,
        refused(SWAPPED),
        acknowledged_is_recorded,
        balances_are_explained,
        replays_answer_alike,
        money_is_conserved,
    ),
    holds_when=all_of(
        switch("idempotency", "claim"),
        switch("key_fingerprint", "on"),
        switch("replay_cache", "scoped", "off"),
    ),
    requires=(acknowledged,),
)
