"""Guesses race for the last try.

Claim    No number of PINs that are tried at once gets more than five compared.
Attack   After four wrong tries two more at once, in every order of their statements.
Why      Who reads the count, compares, and counts afterwards compares everything that has come
         before the first is counted.
Known as Limit overrun, time of check to time of use (CWE-367).
"""

from attacks.http.request import Request
from scenarios.access.needs import PINS_ARE_ASKED
from scenarios.invariants import at_most_compared, balances_are_explained
from scenarios.lab import AttackFailed, Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import all_of, switch

MOST = 5


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(50_00, 0, round=1)
    lab.must(payer.pays(payee, 1_00), round=1)
    for _ in range(MOST - 1):
        guess = lab.sender.send(_guess(lab, payer, payee), round=1)
        if not guess.values.get("compared"):
            raise AttackFailed(f"{guess.answer} does not tell whether a PIN was compared")
    lab.explore(
        "two guesses when one is left",
        _guess(lab, payer, payee),
        _guess(lab, payer, payee),
        round=1,
    )


def _guess(lab: Lab, payer: Wallet, payee: Wallet) -> Request:
    wrong = lab.access.wrong_pin(payer.ref)
    return lab.access.pays_with_pin(payer.ref, payee.ref, 1_00, pin=wrong, key=lab.new_key())


SCENARIO = Scenario(
    name="pin-race",
    suite="access",
    claim="No number of PINs that are tried at once gets more than five compared.",
    story=__doc__,
    attack=attack,
    invariants=(at_most_compared(MOST), balances_are_explained),
    holds_when=all_of(switch("pin", "lockout"), PINS_ARE_ASKED),
    # How many guesses the service takes of one caller at all is another claim.
    settings={"RATE_LIMIT_SENSITIVE_REQUESTS": "100000"},
)
