"""A new wallet comes with money of its own.

Claim    What a body names beside its fields changes nothing: neither `balance` nor `version`.
Attack   A user opens a second wallet and names columns of its row in the body: a balance, a
         version. What comes of it pays the user's first one. Then a user who names none.
Why      The row is made of whatever the body holds, because the fields of the one are columns of
         the other, and nobody wrote down which of them a client may set.
Known as Mass assignment, over-posting; broken object property level authorization (OWASP API3).
"""

from dataclasses import replace

from scenarios.invariants import balances_are_explained, money_is_conserved
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import answered

NAMED: tuple[dict[str, int], ...] = ({"balance": 500_00, "version": 7}, {})


def attack(lab: Lab) -> None:
    for number, columns in enumerate(NAMED, start=1):
        (first,) = lab.wallets(10_00, round=number)
        opening = lab.access.opens_naming(first.ref, columns)
        opened = lab.sender.send(opening, round=number)
        if opened.outcome == "ok":
            second = Wallet(ref=replace(first.ref, id=str(opened.values["id"])), lab=lab)
            lab.sender.send(second.pays(first, 50_00), round=number)
            # The control: it is a wallet like any other.
            lab.must(first.pays(second, 10_00), round=number)


SCENARIO = Scenario(
    name="mass-assignment",
    suite="access",
    claim="What a body names beside its fields changes nothing.",
    story=__doc__,
    attack=attack,
    invariants=(money_is_conserved, balances_are_explained),
    holds_when=switch("validation", "strict"),
    strength="bounded",
    requires=(answered("open-wallet"),),
)
