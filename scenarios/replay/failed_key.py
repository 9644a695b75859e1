"""A request is refused, and its key comes again.

Claim    What is no valid request leaves its key unused; a final refusal is repeated for ever.
Attack   A payment whose amount is null, then a valid one under its key. Then two payments that are
         refused: of more than the payer holds, and into a frozen wallet. What stood in their way
         is put right, and each is sent again with its key.
Why      The client was told "no" and has acted on it, perhaps paid by another way. A refusal that
         turns into a payment when it is repeated pays twice.
Known as Replay of failures; idempotency of errors.
"""

from dataclasses import replace

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.invariants.keys import acknowledged_all, one_answer_a_key
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.requirements import answered

CORRECTED = "corrected-transfer"


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 0, round=1)
    key = lab.new_key()
    lab.sender.send(payer.pays_raw(payee, "null", key=key), round=1)
    lab.sender.send(replace(payer.pays(payee, 10_00, key=key), name=CORRECTED), round=1)
    _too_poor(lab, number=2)
    _frozen(lab, number=3)


def _too_poor(lab: Lab, *, number: int) -> None:
    payer, payee = lab.wallets(100_00, 0, round=number)
    payment = payer.pays(payee, 150_00)
    lab.sender.send(payment, round=number)
    lab.must(payer.receives(100_00), round=number)
    lab.sender.send(payment, round=number)


def _frozen(lab: Lab, *, number: int) -> None:
    payer, payee = lab.wallets(100_00, 0, round=number)
    payment = payer.pays(payee, 10_00)
    lab.must(payee.becomes("frozen"), round=number)
    lab.sender.send(payment, round=number)
    lab.must(payee.becomes("active"), round=number)
    lab.sender.send(payment, round=number)


SCENARIO = Scenario(
    name="failed-key",
    suite="replay",
    claim="An invalid request leaves its key unused, and a final refusal is repeated for ever.",
    story=__doc__,
    attack=attack,
    invariants=(
        one_answer_a_key,
        acknowledged_all(CORRECTED),
        acknowledged_is_recorded,
        balances_are_explained,
        money_is_conserved,
    ),
    holds_when=all_of(
        switch("idempotency", "check_then_insert", "claim"), switch("key_failures", "terminal_4xx")
    ),
    requires=(answered("transfer"), answered(CORRECTED)),
    strength="bounded",
)
