"""A withdrawal and a deposit are offered as one, and the second does not happen.

Claim    Withdraw-then-deposit, offered as one, is whole or nothing.
Attack   A chain is sent again and again. At each of its statements once the service is killed, once
         its database connection is reset, once the database's answer is lost, once its backend is
         ended. And the second movement is refused: its wallet is unknown, frozen or closed.
Why      Each movement commits by itself. Between the two the money is nowhere.
Known as Partial commit, missing compensation; atomicity of a chain.
"""

from dataclasses import replace

from attacks.postgres.faults import CONNECTION_RESET, REPLY_LOST
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.targets.protocol import WalletRef

NOBODY = "999999999"


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 20_00, round=1)
    lab.strike(
        "a withdrawal and a deposit in one request",
        payer.chains(payee, 60_00),
        (CONNECTION_RESET, REPLY_LOST, lab.terminated, lab.kill_before),
        at_the_end=(lab.kill_after,),
        round=1,
        retry=False,
    )
    for number, status in enumerate(("unknown", "frozen", "closed"), start=2):
        # Only an empty wallet can be closed.
        payer, payee = lab.wallets(100_00, 0 if status == "closed" else 20_00, round=number)
        lab.sender.send(payer.chains(_refusing(lab, payee, status, number), 60_00), round=number)


def _refusing(lab: Lab, payee: Wallet, status: str, number: int) -> Wallet:
    if status == "unknown":
        return replace(payee, ref=WalletRef(id=NOBODY))
    lab.must(payee.becomes(status), round=number)
    return payee


SCENARIO = Scenario(
    name="chained-movements",
    suite="partial commit",
    claim="Withdraw-then-deposit, offered as one, is whole or nothing.",
    story=__doc__,
    attack=attack,
    invariants=(money_is_conserved, balances_are_explained, acknowledged_is_recorded),
    holds_when=switch("unit_of_work", "swallow_then_commit", "atomic"),
    strength="bounded",
)
