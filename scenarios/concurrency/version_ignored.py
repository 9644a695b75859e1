"""An optimistic update finds that somebody was faster, and nobody looks.

Claim    An optimistic update that changed no row is not acknowledged.
Attack   Two deposits into one wallet, in every order their statements can take. What is
         acknowledged last has to be in the balance: nobody came after it to write over it.
Why      UPDATE … WHERE version = the one that was read changes no row when it is too late. The
         database says so in the row count, which is no error.
Known as Ignored row count; lost update behind optimistic locking.
"""

from scenarios.invariants import last_acknowledged_is_there
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import ONE_COMMIT, all_of, any_of, switch, unless


def attack(lab: Lab) -> None:
    (wallet,) = lab.wallets(10_00, round=1)
    lab.must(wallet.receives(1_00), round=1)
    lab.explore(
        "two deposits from one version", wallet.receives(5_00), wallet.receives(7_00), round=1
    )


SCENARIO = Scenario(
    name="version-ignored",
    suite="concurrency",
    claim="An optimistic update that changed no row is not acknowledged.",
    story=__doc__,
    attack=attack,
    invariants=(last_acknowledged_is_there,),
    holds_when=all_of(
        ONE_COMMIT,
        any_of(
            unless("locking", "version_unchecked", "serializable"),
            all_of(
                switch("locking", "serializable"),
                switch("unit_of_work", "per_movement", "atomic"),
            ),
        ),
    ),
)
