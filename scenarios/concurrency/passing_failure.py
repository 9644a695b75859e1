"""The database asks for the transaction to be run again.

Claim    A deadlock or a serialisation failure is run again, and its client hears nothing of it.
Attack   A payment, once for each of its statements: in the statement's place the database fails as
         it does for the loser of a race (SQLSTATE 40001 and 40P01), the next time it does not.
Why      PostgreSQL ends one of two transactions so that the other can go on, and says so: nothing
         was done, do it again. Passed on as 500 it is a payment that failed for nothing, and a
         client that does not know whether it was made.
Known as Serialisation failure, deadlock victim; transaction retry.
"""

from attacks.postgres.faults import RETRIABLE, fails_with
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    no_server_error,
)
from scenarios.invariants.keys import acknowledged_all
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 20_00, round=1)
    lab.strike(
        "a payment",
        payer.pays(payee, 10_00),
        [fails_with(sqlstate) for sqlstate in RETRIABLE],
        round=1,
        retry=False,
    )


SCENARIO = Scenario(
    name="passing-failure",
    suite="concurrency",
    claim="A deadlock or a serialisation failure is run again, and its client hears nothing of it.",
    story=__doc__,
    attack=attack,
    invariants=(
        no_server_error,
        acknowledged_all("transfer"),
        balances_are_explained,
        acknowledged_is_recorded,
    ),
    holds_when=all_of(
        switch("retry", "stale_values", "blind", "bounded"),
        switch("unit_of_work", "per_movement", "atomic"),
    ),
    strength="bounded",
)
