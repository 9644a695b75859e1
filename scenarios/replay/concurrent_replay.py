"""The same request comes twice at once.

Claim    Twins that arrive at once have one effect; the rest get the same answer or 409.
Attack   One payment, sent twice with one key, in every order that the statements of the two can
         take.
Why      Both look for the key before either of them has stored it.
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
from scenarios.needs import all_of, any_of, switch


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 0, round=1)
    twin = payer.pays(payee, 10_00, key=lab.new_key())
    lab.explore("one payment, sent twice with one key", twin, twin, round=1)


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
    holds_when=any_of(
        all_of(switch("idempotency", "claim"), switch("key_in_flight", "conflict", "wait")),
        # No serial order explains two that both found nothing: one of them is run again.
        all_of(
            switch("idempotency", "check_then_insert"),
            switch("locking", "serializable"),
            switch("retry", "stale_values", "blind", "bounded"),
            switch("unit_of_work", "per_step", "per_movement", "atomic"),
        ),
    ),
)
