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
from scenarios.needs import all_of, any_of, switch


def attack(lab: Lab) -> None:
    (wallet,) = lab.wallets(10_00, round=1)
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
    holds_when=any_of(
        switch(
            "locking",
            "none",
            "stale",
            "advisory_session",
            "row",
            "version",
            "conditional",
            "advisory",
        ),
        all_of(
            switch("locking", "serializable"),
            switch("unit_of_work", "per_step", "per_movement", "atomic"),
        ),
    ),
)
