"""A voucher is cashed twice at the same moment.

Claim    A user gets the bonus of a campaign once.
Attack   The bonus of one campaign twice for one wallet, and once for each of two wallets of one
         user, in every order their statements can take; then one after the other.
Why      Whether it was granted is looked up first and written down later. The lock of a wallet does
         not help against a second wallet of the same user.
Known as Coupon race, single-use token reuse; unique by check.
"""

from attacks.http.request import Request
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    money_is_conserved,
    settled_once,
)
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import GRANTED_ONCE, RECORDED, all_of

GOLD = "GOLD"


def attack(lab: Lab) -> None:
    (dollars,) = lab.wallets(1_00, round=1)
    lab.explore("the same voucher twice", *_twice(lab, dollars, dollars), round=1)
    for number in (2, 3):
        (dollars,) = lab.wallets(1_00, round=number)
        gold = Wallet(ref=lab.target.open_wallet_beside(lab.sender.ask, dollars.ref, GOLD), lab=lab)
        first, second = _twice(lab, dollars, gold)
        if number == 2:
            lab.explore("one voucher for two wallets of a user", first, second, round=number)
        else:
            lab.must(first, round=number)
            lab.sender.send(second, round=number)


def _twice(lab: Lab, *wallets: Wallet) -> list[Request]:
    return [lab.target.grant(w.ref, 5_00, "WELCOME", key=lab.new_key()) for w in wallets]


SCENARIO = Scenario(
    name="voucher",
    suite="concurrency",
    claim="A user gets the bonus of a campaign once.",
    story=__doc__,
    attack=attack,
    invariants=(
        settled_once,
        money_is_conserved,
        balances_are_explained,
        acknowledged_is_recorded,
    ),
    holds_when=all_of(RECORDED, GRANTED_ONCE),
)
