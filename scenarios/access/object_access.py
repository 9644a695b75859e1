"""Somebody looks at what is not theirs.

Claim    Nobody reads what is another's, or learns that it exists.
Attack   A user asks for another's wallet, statement, movement, hold, batch, key, limits and name by
         their numbers, and for numbers that nothing has.
Why      Numbers can be guessed; 403 for what exists and 404 for what does not tells which do.
Known as Broken object level authorization (OWASP API1), enumeration.
"""

from scenarios.access.needs import OWNERS_ARE_ASKED
from scenarios.invariants import refused, strangers_learn_nothing
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, any_of, switch
from scenarios.payouts import set_up
from scenarios.requirements import answered
from scenarios.targets.access import Belongings


def attack(lab: Lab) -> None:
    victim, friend, stranger = lab.wallets(50_00, 0, 1_00, round=1)
    payment = victim.pays(friend, 1_00)
    paid = lab.must(payment, round=1)
    held = lab.must(lab.target.hold(victim.ref, friend.ref, 1_00, key=lab.new_key()), round=1)
    theirs = Belongings(
        wallet=victim.ref,
        movement=str(paid.values["id"]),
        hold=str(held.values["id"]),
        batch=set_up(lab, victim, (friend, 1_00), round=1).id,
        payment=payment,
    )
    for peek in lab.access.peeks(theirs, stranger.ref).values():
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
    # A key of everybody's tells everybody the answer that it got.
    holds_when=all_of(
        OWNERS_ARE_ASKED,
        any_of(switch("idempotency", "off"), switch("key_scope", "caller_and_route")),
    ),
    strength="bounded",
    requires=(answered("peek"),),
)
