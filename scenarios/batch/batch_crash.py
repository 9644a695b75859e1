"""The service dies in the middle of a batch.

Claim    A batch that was killed at any row resumes where it was: each row is paid once.
Attack   A batch of two rows is executed again and again. At each of its statements once the service
         is killed, and once the database's answer is lost; and the service is killed after the
         last. Then it starts again, and the batch is executed once more.
Why      Whoever begins the file again pays what was paid before; whoever marks a row before or
         after its payment pays it never or twice.
Known as Job restart, at-least-once processing; exactly-once.
"""

from attacks.postgres.faults import REPLY_LOST
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.invariants.keys import retries_succeed
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.payouts import set_up


def attack(lab: Lab) -> None:
    payer, first, second = lab.wallets(100_00, 0, 0, round=1)
    batch = set_up(lab, payer, (first, 10_00), (second, 20_00), round=1)
    lab.strike(
        "a batch of two rows, and the same again",
        batch.executes(),
        (REPLY_LOST, lab.kill_before),
        at_the_end=(lab.kill_after,),
        round=1,
    )


SCENARIO = Scenario(
    name="batch-crash",
    suite="batch",
    claim="A batch that was killed at any row resumes where it was: each row is paid once.",
    story=__doc__,
    attack=attack,
    invariants=(
        acknowledged_is_recorded,
        balances_are_explained,
        money_is_conserved,
        retries_succeed,
    ),
    holds_when=all_of(
        switch("batch", "resumable"),
        switch("unit_of_work", "per_movement", "swallow_then_commit", "atomic"),
    ),
    strength="bounded",
)
