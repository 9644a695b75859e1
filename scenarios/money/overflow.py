"""A wallet holds nearly all that can be held.

Claim    A balance near the limit refuses more; it never wraps, drifts or fails.
Attack   A deposit up to a few cents below the limit of 2^53 - 1 minor units, the largest number
         that every reader of JSON keeps. Then deposits that pass it, by a cent and by all there is,
         one that fits, and a withdrawal of everything.
Why      Whole numbers wrap or fail where their type ends. Binary fractions do neither: they drop
         the cents, and whoever pays in a cent is told that it was done.
Known as Integer overflow, loss of precision; boundary values.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    never_more_than,
    never_overdrawn,
    no_server_error,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.requirements import acknowledged

LIMIT_MINOR = 2**53 - 1
ROOM_MINOR = 1_03
"""Between the first deposit and the limit."""
OPENING_MINOR = 1_00
ALREADY_OUT_MINOR = 10_00
"""What the control payments' wallets hold counts as well where deposits have a counterpart."""


def attack(lab: Lab) -> None:
    (rich,) = lab.wallets(OPENING_MINOR, round=1)
    room_minor = ROOM_MINOR + ALREADY_OUT_MINOR
    lab.sender.send(rich.receives(LIMIT_MINOR - OPENING_MINOR - room_minor), round=1)
    for amount_minor in (room_minor + 1, LIMIT_MINOR):
        lab.sender.send(rich.receives(amount_minor), round=1)
    lab.sender.send(rich.receives(1), round=1)
    lab.sender.send(rich.pays_out(LIMIT_MINOR - room_minor + 1), round=1)


SCENARIO = Scenario(
    name="overflow",
    suite="money",
    claim="A balance near the limit refuses more; it never wraps, drifts or fails.",
    story=__doc__,
    attack=attack,
    invariants=(
        never_more_than(LIMIT_MINOR),
        balances_are_explained,
        money_is_conserved,
        never_overdrawn,
        no_server_error,
        acknowledged_is_recorded,
    ),
    holds_when=all_of(switch("money", "minor_units"), switch("validation", "strict")),
    requires=(acknowledged,),
    strength="bounded",
)
