"""Somebody looks at what is not theirs.

Claim    Nobody reads another's wallet, statement, movement or name, or learns that it exists.
Attack   A user asks for each by its number, and for numbers that nothing has.
Why      Numbers can be guessed; 403 for what exists and 404 for what does not tells which do.
Known as Broken object level authorization (OWASP API1), enumeration.
"""

from scenarios.access.needs import OWNERS_ARE_ASKED
from scenarios.invariants import refused, strangers_learn_nothing
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.requirements import answered


def attack(lab: Lab) -> None:
    victim, friend, stranger = lab.wallets(50_00, 0, 1_00, round=1)
    paid = lab.must(victim.pays(friend, 1_00), round=1)
    movement = str(paid.values["id"])
    for peek in lab.access.peeks(victim.ref, movement, stranger.ref).values():
        lab.sender.send(peek.there, round=1)
        lab.sender.send(peek.nowhere, round=1)
    lab.must(lab.access.reads(stranger.ref), round=1)


SCENARIO = Scenario(
    name="object-access",
    suite="access",
    claim="Nobody reads what is another's, or learns that it exists.",
    story=__doc__,
    attack=attack,
    invariants=(refused("peek"), strangers_learn_nothing),
    holds_when=OWNERS_ARE_ASKED,
    strength="bounded",
    requires=(answered("peek"),),
)
