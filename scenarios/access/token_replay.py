"""A stolen token after log-out.

Claim    A token is worthless once its owner has logged out.
Attack   The token of a payment is copied, its owner logs out, and the copy reads and pays.
Why      A signed token is good until it expires, unless somebody keeps a list of those that are
         not.
Known as Insufficient session expiration (CWE-613).
"""

from scenarios.invariants import balances_are_explained, refused
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import answered


def attack(lab: Lab) -> None:
    access = lab.access
    owner, shop = lab.wallets(50_00, 0, round=1)
    lab.must(owner.pays(shop, 1_00), round=1)
    lab.must(access.log_out(owner.ref), round=1)
    for request in (access.reads(owner.ref), owner.pays(shop, 10_00), access.reads(owner.ref)):
        lab.sender.send(access.as_other(request, "replayed-token", owner.ref), round=1)


SCENARIO = Scenario(
    name="token-replay",
    suite="access",
    claim="A token is worthless once its owner has logged out.",
    story=__doc__,
    attack=attack,
    invariants=(refused("replayed-token"), balances_are_explained),
    holds_when=switch("authentication", "jwt"),
    strength="bounded",
    requires=(answered("replayed-token"),),
)
