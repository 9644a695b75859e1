"""Payments race for one balance.

Claim    A wallet never pays out more than it held, however many requests arrive at once.
Attack   Two, then twenty payments of the whole balance, released together, over several rounds.
Why      The balance is read, compared, then written. Whoever reads between the other's read and
         write sees the old balance and is right to pay.
Known as Double spend, limit overrun; lost update (P4).
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    never_overdrawn,
    never_paid_out_more_than_held,
)
from scenarios.lab import Lab
from scenarios.measures import release_spread
from scenarios.model import Scenario
from scenarios.needs import SERIALISED
from scenarios.requirements import acknowledged, overlapped

PAIRS = 8
CROWDS = 3
CROWD = 20


def attack(lab: Lab) -> None:
    pairs = lab.rounds(PAIRS)
    for number in pairs:
        _race(lab, number, payments=2)
    for number in lab.rounds(CROWDS):
        _race(lab, len(pairs) + number, payments=CROWD)


def _race(lab: Lab, number: int, *, payments: int) -> None:
    payer, shop, mall = lab.wallets(100_00, 0, 0, round=number)
    requests = [payer.pays((shop, mall)[turn % 2], 100_00) for turn in range(payments)]
    lab.random.shuffle(requests)
    lab.sender.together(requests, round=number)


SCENARIO = Scenario(
    name="double-spend",
    suite="double spend",
    claim="A wallet never pays out more than it held.",
    story=__doc__,
    attack=attack,
    invariants=(
        never_paid_out_more_than_held,
        money_is_conserved,
        never_overdrawn,
        balances_are_explained,
        acknowledged_is_recorded,
    ),
    holds_when=SERIALISED,
    requires=(overlapped, acknowledged),
    measures=(release_spread,),
)
