"""Every balance can be proved from its entries.

Claim    Movements have legs that cancel, balances equal their legs, `balance_after` has no gap.
Attack   Payments between three wallets, six released together by their last byte, with refusals
         among them; then the books are read.
Why      With one row a transfer nobody can say which balance is wrong, only that the sum is.
Known as Double-entry bookkeeping, reconciliation.
"""

from scenarios.invariants import acknowledged_is_recorded, legs_prove_the_balances
from scenarios.lab import Lab
from scenarios.measures import release_spread
from scenarios.model import Scenario
from scenarios.needs import SERIALISED, all_of, switch
from scenarios.requirements import acknowledged, overlapped

ROUNDS = 3
AT_ONCE = 6


def attack(lab: Lab) -> None:
    for number in lab.rounds(ROUNDS):
        wallets = lab.wallets(60_00, 60_00, 60_00, round=number)
        for amount_minor in (11_00, 25_00, 70_00):
            requests = [
                wallets[turn % 3].pays(wallets[(turn + 1 + turn // 3) % 3], amount_minor)
                for turn in range(AT_ONCE)
            ]
            lab.release(requests, round=number)
        lab.sender.send(wallets[0].pays_out(1_00), round=number)


SCENARIO = Scenario(
    name="ledger",
    suite="money",
    claim="Every movement has legs that cancel, and every balance equals its legs.",
    story=__doc__,
    attack=attack,
    invariants=(legs_prove_the_balances, acknowledged_is_recorded),
    holds_when=all_of(switch("ledger", "double_entry", "hash_chain"), SERIALISED),
    requires=(overlapped, acknowledged),
    measures=(release_spread,),
)
