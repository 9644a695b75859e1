"""A wallet is frozen, or closed, while money moves.

Claim    After a freeze is acknowledged no debit is, and nothing is left in a closed wallet.
Attack   A freeze and a payment out of the wallet; the closing of an empty wallet and a payment into
         it; each in every order their statements can take.
Why      The payment looks at the wallet's status first and moves the money later. A freeze that
         does not wait for it is a promise that is already broken.
Known as Freeze race, check-then-act on a status.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    nothing_moves_after_the_end,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import ONE_COMMIT, SERIALISED, all_of, unless


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 0, round=1)
    lab.explore(
        "a freeze and a payment", payer.becomes("frozen"), payer.pays(payee, 60_00), round=1
    )
    payer, payee = lab.wallets(100_00, 0, round=2)
    lab.explore(
        "a closing and a payment in", payee.becomes("closed"), payer.pays(payee, 60_00), round=2
    )
    for number, status in enumerate(("frozen", "closed"), start=3):
        payer, payee = lab.wallets(100_00, 0, round=number)
        ended, other = (payer, payee) if status == "frozen" else (payee, payer)
        lab.must(payer.pays(payee, 10_00), round=number)
        lab.must(payer.receives(10_00), round=number)
        # A wallet with money in it may well not be closed.
        (lab.must if status == "frozen" else lab.sender.send)(ended.becomes(status), round=number)
        lab.sender.send(payer.pays(payee, 60_00), round=number)
        lab.sender.send(other.receives(1_00), round=number)


SCENARIO = Scenario(
    name="frozen-race",
    suite="concurrency",
    claim="After a freeze is acknowledged no debit is, and nothing is left in a closed wallet.",
    story=__doc__,
    attack=attack,
    invariants=(
        nothing_moves_after_the_end,
        money_is_conserved,
        balances_are_explained,
        acknowledged_is_recorded,
    ),
    holds_when=all_of(SERIALISED, ONE_COMMIT),
    # A freeze may be acknowledged between that COMMIT and its answer.
    applies_when=unless("locking", "advisory_session"),
    applies_not="this build unlocks after its COMMIT: its answers do not tell what came first",
)
