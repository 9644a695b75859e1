"""A withdrawal and a deposit are offered as one, and the second does not happen.

Claim    Withdraw-then-deposit, offered as one, is whole or nothing.
Attack   The service is killed, or its database session cut, when it is seen waiting for the second
         movement's wallet; and the second movement is refused: its wallet is unknown, frozen or
         closed.
Why      Each movement commits by itself. Between the two the money is nowhere.
Known as Partial commit, missing compensation; atomicity of a chain.
"""

from dataclasses import replace

from scenarios.atomicity.dying import NOT_WAITING, Death, die_while_waiting
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import never, struck
from scenarios.targets.protocol import WalletRef

DEATHS: tuple[Death, ...] = ("kill", "cut")
NOBODY = "999999999"


def attack(lab: Lab) -> None:
    number = 0
    for death in DEATHS:
        for _ in lab.rounds(1):
            number += 1
            payer, payee = lab.wallets(100_00, 20_00, round=number)
            die_while_waiting(lab, payer.chains(payee, 60_00), payee, death, number=number)
    for status in ("unknown", "frozen", "closed"):
        number += 1
        payer, payee = lab.wallets(100_00, 20_00, round=number)
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
    holds_when=switch("unit_of_work", "atomic"),
    requires=(struck("waiting", "kill", "cut"), never(NOT_WAITING)),
    strength="bounded",
)
