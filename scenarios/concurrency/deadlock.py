"""Two wallets pay each other at the same moment.

Claim    Opposite transfers end within 2 s, without a server error, and nothing is lost.
Attack   A payment and one in the other direction, in every order their statements can take.
Why      Each locks its payer first and then waits for its payee, whom the other has locked: a
         circle, which PostgreSQL breaks by ending one of them.
Known as Deadlock, lock-order inversion.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    answered_within,
    balances_are_explained,
    money_is_conserved,
    no_server_error,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import SERIALISED, all_of, any_of, switch

BOUND_S = 2.0


def attack(lab: Lab) -> None:
    left, right = lab.wallets(500_00, 500_00, round=1)
    lab.explore(
        "two wallets pay each other", left.pays(right, 7_00), right.pays(left, 5_00), round=1
    )


SCENARIO = Scenario(
    name="deadlock",
    suite="deadlock",
    claim="Opposite transfers end within 2 s, without a server error, and nothing is lost.",
    story=__doc__,
    attack=attack,
    invariants=(
        no_server_error,
        answered_within(BOUND_S),
        money_is_conserved,
        balances_are_explained,
        acknowledged_is_recorded,
    ),
    # Any retry will do: who was ended for the other's sake is run again, and the circle is gone.
    holds_when=all_of(
        SERIALISED,
        any_of(
            switch("lock_order", "sorted"),
            all_of(
                switch("retry", "stale_values", "blind", "bounded"),
                # The one that PostgreSQL ends leaves its session's lock behind.
                switch("locking", "row", "version", "conditional", "advisory", "serializable"),
            ),
        ),
    ),
)
