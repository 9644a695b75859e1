"""The answer to COMMIT is lost, and the service tries again by itself.

Claim    One request moves money at most once, whatever becomes of its COMMIT.
Attack   A payment, once for each of its statements: the database executes it and its answer is
         lost. The client sends nothing again.
Why      A lost connection looks like a failure. Whoever runs the whole work again pays twice when
         the first COMMIT had come through, unless the work can be recognised.
Known as Blind retry, retry of a non-idempotent operation.
"""

from attacks.postgres.faults import REPLY_LOST
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import any_of, switch


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 20_00, round=1)
    lab.strike("a payment", payer.pays(payee, 10_00), (REPLY_LOST,), round=1, retry=False)


SCENARIO = Scenario(
    name="blind-retry",
    suite="atomicity",
    claim="One request moves money at most once, whatever becomes of its COMMIT.",
    story=__doc__,
    attack=attack,
    invariants=(balances_are_explained, acknowledged_is_recorded, money_is_conserved),
    holds_when=any_of(
        switch("retry", "none", "stale_values", "bounded"),
        switch("idempotency", "check_then_insert", "claim"),
    ),
    strength="bounded",
)
