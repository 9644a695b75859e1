"""Rows of a batch are taken back twice.

Claim    Chosen rows of a batch are compensated exactly once.
Attack   A batch of two rows is paid; then two requests at once take back the second, in every order
         that their statements can take. From a batch of three rows the first and the last are taken
         back, and after the answer once more.
Why      A compensation is a transfer like any other. Nothing says that it was made before.
Known as Double compensation, duplicate refund; saga.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    no_server_error,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import RETRIED, all_of, switch
from scenarios.payouts import set_up


def attack(lab: Lab) -> None:
    payer, first, second = lab.wallets(100_00, 0, 15_00, round=1)
    batch = set_up(lab, payer, (first, 10_00), (second, 20_00), round=1)
    lab.must(batch.executes(), round=1)
    lab.explore("a row, taken back twice", batch.takes_back(2), batch.takes_back(2), round=1)
    payer, first, second = lab.wallets(100_00, 15_00, 30_00, round=2)
    rows = ((first, 10_00), (second, 20_00), (second, 30_00))
    batch = set_up(lab, payer, *rows, round=2)
    lab.must(batch.executes(), round=2)
    lab.must(batch.takes_back(1, 3), round=2)
    lab.sender.send(batch.takes_back(1, 3), round=2)


SCENARIO = Scenario(
    name="compensate-twice",
    suite="batch",
    claim="Chosen rows of a batch are compensated exactly once.",
    story=__doc__,
    attack=attack,
    invariants=(
        acknowledged_is_recorded,
        balances_are_explained,
        money_is_conserved,
        no_server_error,
    ),
    holds_when=all_of(switch("compensation", "once"), RETRIED),
)
