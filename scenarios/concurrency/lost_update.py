"""Two deposits arrive at one wallet.

Claim    N acknowledged deposits of x add N times x.
Attack   Two deposits into one wallet, in every order their statements can take.
Why      Each reads the balance, adds to it, and writes the sum. The second to write has not seen
         what the first one wrote, and takes it back.
Known as Lost update (P4), read-modify-write.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import SERIALISED


def attack(lab: Lab) -> None:
    (wallet,) = lab.wallets(10_00, round=1)
    lab.explore(
        "two deposits into one wallet", wallet.receives(5_00), wallet.receives(7_00), round=1
    )


SCENARIO = Scenario(
    name="lost-update",
    suite="concurrency",
    claim="N acknowledged deposits of x add N times x.",
    story=__doc__,
    attack=attack,
    invariants=(balances_are_explained, money_is_conserved, acknowledged_is_recorded),
    holds_when=SERIALISED,
)
