"""A service that tells too much.

Claim    No answer tells SQL, a stack or a secret, and no log tells a secret.
Attack   A payment whose connection to the database is ended at each of its statements, wrong PINs,
         and the service's log afterwards.
Why      The text of an exception is made for whoever wrote the code: it quotes the statement and
         its values.
Known as Information exposure through an error message (CWE-209) and logs (CWE-532).
"""

from scenarios.invariants import nothing_leaks
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch

LOG_LINES = 10_000


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(50_00, 0, round=1)
    lab.must(payer.pays(payee, 1_00), round=1)
    other, shop = lab.wallets(50_00, 0, round=2)
    secrets = (payer.ref.token, payer.ref.pin, other.ref.token)
    lab.strike(
        "a payment whose connection ends",
        lab.access.watched(payer.pays(payee, 1_00), *secrets),
        [lab.terminated],
        round=1,
        retry=False,
    )
    wrong = lab.access.wrong_pin(other.ref)
    guess = lab.access.pays_with_pin(other.ref, shop.ref, 1_00, pin=wrong, key=lab.new_key())
    lab.sender.send(lab.access.watched(guess, *secrets), round=2)
    for told in lab.access.secrets_in(lab.service.log(LOG_LINES), *secrets):
        lab.recorder.event("log-leak", told, round=2)


SCENARIO = Scenario(
    name="leaks",
    suite="access",
    claim="No answer tells SQL, a stack or a secret, and no log tells a secret.",
    story=__doc__,
    attack=attack,
    invariants=(nothing_leaks,),
    holds_when=switch("errors", "problem"),
)
