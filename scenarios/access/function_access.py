"""Users do what takes a role.

Claim    Minting, freezing, lending, opening for others and reading all books take a role.
Attack   An ordinary user with a good token and a good PIN tries each: a deposit, a bonus, a freeze,
         an overdraft, a wallet for somebody else, and the books.
Why      The routes are there for somebody, and nothing but a check at each keeps the others out.
Known as Broken function level authorization (OWASP API5), privilege escalation.
"""

from scenarios.access.needs import OWNERS_ARE_ASKED
from scenarios.invariants import balances_are_explained, refused
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.requirements import answered


def attack(lab: Lab) -> None:
    user, other = lab.wallets(5_00, 5_00, round=1)
    for request in lab.access.privileged(user.ref, other.ref, key=lab.new_key()):
        lab.sender.send(request, round=1)
    # Nothing came of it, and the operator may.
    lab.must(other.receives(1_00), round=1)
    lab.must(user.pays(other, 1_00), round=1)
    lab.must(other.becomes("frozen"), round=1)


SCENARIO = Scenario(
    name="function-access",
    suite="access",
    claim="Minting, freezing, lending, opening for others and reading all books take a role.",
    story=__doc__,
    attack=attack,
    invariants=(refused("privileged"), balances_are_explained),
    holds_when=OWNERS_ARE_ASKED,
    strength="bounded",
    requires=(answered("privileged"),),
)
