"""Somebody adds up wallets while money moves between them.

Claim    A bulk read of several wallets sees a total that existed.
Attack   One request reads all wallets while a transfer moves money between two of them, in every
         order their statements can take.
Why      With one SELECT a wallet each sees another moment: money that has left one wallet and not
         been read in the next is missing, or is counted twice.
Known as Read skew (A5A), inconsistent analysis.
"""

from scenarios.invariants import bulk_reads_see, money_is_conserved
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch

WALLETS = 3
OPENING_MINOR = 50_00


def attack(lab: Lab) -> None:
    wallets = lab.wallets(*[OPENING_MINOR] * WALLETS, round=1)
    reads = lab.target.read_balances([wallet.ref for wallet in wallets])
    for payer, payee in ((wallets[0], wallets[-1]), (wallets[-1], wallets[0])):
        lab.explore(
            f"a bulk read and a transfer from wallet {payer.id} to wallet {payee.id}",
            reads,
            payer.pays(payee, 10_00),
            round=1,
        )


SCENARIO = Scenario(
    name="read-skew",
    suite="read skew",
    claim="A bulk read of several wallets sees a total that existed.",
    story=__doc__,
    attack=attack,
    invariants=(bulk_reads_see(OPENING_MINOR * WALLETS), money_is_conserved),
    holds_when=switch("reads", "single_statement", "snapshot"),
)
