"""One batch is paid out twice at once.

Claim    One batch, executed concurrently, pays each row once.
Attack   Two executions of one batch of two rows, in every order that their statements can take.
Why      Both see that the batch has not ended before either of them has said that it has begun.
Known as Concurrent batch execution, missing job lock; check-then-act.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    no_server_error,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.payouts import set_up


def attack(lab: Lab) -> None:
    payer, first, second = lab.wallets(100_00, 0, 0, round=1)
    alone = set_up(lab, payer, (first, 1_00), round=1)
    lab.must(alone.executes(), round=1)
    batch = set_up(lab, payer, (first, 10_00), (second, 20_00), round=1)
    lab.explore("one batch, executed twice", batch.executes(), batch.executes(), round=1)


SCENARIO = Scenario(
    name="batch-twice",
    suite="batch",
    claim="One batch, executed concurrently, pays each row once.",
    story=__doc__,
    attack=attack,
    invariants=(
        acknowledged_is_recorded,
        balances_are_explained,
        money_is_conserved,
        no_server_error,
    ),
    holds_when=switch("batch", "resumable"),
)
