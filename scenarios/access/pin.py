"""Movements without the PIN.

Claim    Every movement takes the PIN, and five wrong tries lock it.
Attack   With a good token: payments without a PIN, with a wrong one six times, then with the right
         one; and another PIN set without the one that is set.
Why      Four digits are 10,000 guesses: what protects them is that tries are few, and that the PIN
         cannot be set anew by whoever has the token.
Known as Step-up authentication, brute force (CWE-307).
"""

from dataclasses import replace

from scenarios.access.needs import PINS_ARE_ASKED
from scenarios.invariants import at_most_compared, balances_are_explained, refused
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.requirements import answered, any_compared

MOST = 5


def attack(lab: Lab) -> None:
    access = lab.access
    payer, payee = lab.wallets(50_00, 0, round=1)
    lab.must(payer.pays(payee, 1_00), round=1)
    without = access.pays_with_pin(payer.ref, payee.ref, 1_00, pin=None, key=lab.new_key())
    lab.sender.send(replace(without, name="without-pin"), round=1)
    lab.sender.send(access.change_pin(payer.ref, "1111"), round=1)
    payer, payee = lab.wallets(50_00, 0, round=2)
    lab.must(payer.pays(payee, 1_00), round=2)
    for _ in range(MOST + 1):
        wrong = access.wrong_pin(payer.ref)
        guess = access.pays_with_pin(payer.ref, payee.ref, 1_00, pin=wrong, key=lab.new_key())
        lab.sender.send(guess, round=2)
    late = access.as_other(payer.pays(payee, 1_00), "too-late", payer.ref)
    lab.sender.send(late, round=2)


SCENARIO = Scenario(
    name="pin",
    suite="access",
    claim="Every movement takes the PIN, and five wrong tries lock it.",
    story=__doc__,
    attack=attack,
    invariants=(
        refused("without-pin"),
        refused("guess"),
        at_most_compared(MOST),
        refused("too-late"),
        refused("change-pin"),
        balances_are_explained,
    ),
    holds_when=all_of(switch("pin", "counted_after", "lockout"), PINS_ARE_ASKED),
    strength="bounded",
    requires=(
        any_compared,
        *map(answered, ("guess", "too-late", "without-pin", "change-pin")),
    ),
    # How many guesses the service takes of one caller at all is another claim.
    settings={"RATE_LIMIT_SENSITIVE_REQUESTS": "100000"},
)
