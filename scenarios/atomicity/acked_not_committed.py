"""The database refuses a statement, and the client hears that all went well.

Claim    What was acknowledged is committed, whatever fails on the way.
Attack   A payment is sent again and again. At each of its statements once the database fails (a
         serialisation failure, a deadlock, a lock that is not available, a cancelled query, too
         many connections) and once the connection dies.
Why      Whoever catches the error of a write and goes on to COMMIT is answered ROLLBACK, which no
         driver reports as an error.
Known as Swallowed exception; COMMIT of a failed transaction, acknowledged but not committed.
"""

from attacks.postgres.faults import CONNECTION_RESET, REFUSED, RETRIABLE, fails_with
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    movements_can_be_found,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import RECORDED, all_of, switch


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 20_00, round=1)
    failures = [fails_with(sqlstate) for sqlstate in (*RETRIABLE, *REFUSED)]
    lab.strike(
        "a payment",
        payer.pays(payee, 60_00),
        (CONNECTION_RESET, *failures),
        round=1,
        retry=False,
    )


SCENARIO = Scenario(
    name="acked-not-committed",
    suite="atomicity",
    claim="What was acknowledged is committed, whatever fails on the way.",
    story=__doc__,
    attack=attack,
    invariants=(
        acknowledged_is_recorded,
        balances_are_explained,
        money_is_conserved,
        movements_can_be_found,
    ),
    holds_when=all_of(switch("unit_of_work", "per_step", "per_movement", "atomic"), RECORDED),
    strength="bounded",
)
