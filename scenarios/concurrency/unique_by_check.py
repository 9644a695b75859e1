"""Two requests take one name.

Claim    A user has one wallet of an asset, and a username one user: nobody takes either twice.
Attack   The same wallet is opened twice, and the same username signed up twice, in every order the
         statements can take.
Why      Each looks whether the name is taken, and then takes it. Both look before either has.
Known as Check-then-insert, time of check to time of use; uniqueness by SELECT.
"""

from scenarios.invariants import acknowledged_once, no_server_error
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch


def attack(lab: Lab) -> None:
    wallet, other = lab.wallets(1_00, 1_00, round=1)
    # A service looks an asset up once: not in the first of all orders only.
    lab.must(lab.target.open_same(other.ref), round=1)
    opening = lab.target.open_same(wallet.ref)
    lab.explore("one wallet is opened twice", opening, opening, round=1)
    lab.wallets(1_00, round=2)
    lab.must(lab.target.sign_up(f"name-{lab.random.getrandbits(48):012x}"), round=2)
    signing_up = lab.target.sign_up(f"name-{lab.random.getrandbits(48):012x}")
    lab.explore("one username is signed up twice", signing_up, signing_up, round=2)


SCENARIO = Scenario(
    name="unique-by-check",
    suite="concurrency",
    claim="A user has one wallet of an asset, and a username one user: nobody takes either twice.",
    story=__doc__,
    attack=attack,
    invariants=(acknowledged_once("open-wallet", "sign-up"), no_server_error),
    holds_when=switch("constraints", "on"),
)
