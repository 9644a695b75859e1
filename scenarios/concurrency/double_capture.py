"""A hold is captured and released at the same moment.

Claim    A hold is captured or released, once.
Attack   Two captures of one hold, and a capture and a release, each in every order their statements
         can take, while somebody else's hold waits beside it; then ends of every kind one after
         the other.
Why      Whether the hold is still active is looked up first and changed later. The second one to
         end it pays with what was set aside for others.
Known as Double capture, capture after void; check-then-act.
"""

from itertools import product

from attacks.http.request import Request
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    holds_are_counted,
    money_is_conserved,
    settled_once,
)
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import SETTLED_ONCE

HELD_MINOR = 60_00


def attack(lab: Lab) -> None:
    for number, other in enumerate(("capture", "release"), start=1):
        first, second = _ends(lab, ("capture", other), number)
        lab.explore(f"a capture and a {other} of one hold", first, second, round=number)
    for number, pair in enumerate(product(("capture", "release"), repeat=2), start=3):
        first, second = _ends(lab, pair, number)
        lab.must(first, round=number)
        lab.sender.send(second, round=number)


def _ends(lab: Lab, names: tuple[str, ...], number: int) -> list[Request]:
    payer, payee, other = lab.wallets(100_00, 0, 100_00, round=number)
    lab.must(_hold(other, payee), round=number)
    hold_id = lab.must(_hold(payer, payee), round=number).values["id"]
    return [_end(name, hold_id, payer, payee) for name in names]


def _hold(payer: Wallet, payee: Wallet) -> Request:
    lab = payer.lab
    return lab.target.hold(payer.ref, payee.ref, HELD_MINOR, key=lab.new_key())


def _end(name: str, hold_id: str, payer: Wallet, payee: Wallet) -> Request:
    target, key = payer.lab.target, payer.lab.new_key()
    if name == "capture":
        return target.capture(hold_id, payee.ref, HELD_MINOR, key=key)
    return target.release(hold_id, payer.ref, HELD_MINOR, key=key)


SCENARIO = Scenario(
    name="double-capture",
    suite="concurrency",
    claim="A hold is captured or released, once.",
    story=__doc__,
    attack=attack,
    invariants=(
        settled_once,
        money_is_conserved,
        balances_are_explained,
        holds_are_counted,
        acknowledged_is_recorded,
    ),
    holds_when=SETTLED_ONCE,
)
