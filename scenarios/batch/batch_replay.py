"""The same file comes again.

Claim    The same file with the same batch key is one batch.
Attack   A batch is set up, given its rows and executed; then the same client does all of it again,
         with the same key and the same file.
Why      A client whose answers were lost begins again. Without the key it makes a second batch.
Known as Duplicate file, double upload; batch idempotency.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.payouts import set_up
from scenarios.requirements import acknowledged


def attack(lab: Lab) -> None:
    payer, first, second = lab.wallets(100_00, 0, 0, round=1)
    key = lab.new_key()
    for _ in range(2):
        batch = set_up(lab, payer, (first, 10_00), (second, 20_00), round=1, key=key)
        lab.sender.send(batch.executes(), round=1)


SCENARIO = Scenario(
    name="batch-replay",
    suite="batch",
    claim="The same file with the same batch key is one batch.",
    story=__doc__,
    attack=attack,
    invariants=(acknowledged_is_recorded, balances_are_explained, money_is_conserved),
    holds_when=switch("batch", "resumable"),
    requires=(acknowledged,),
    strength="bounded",
)
