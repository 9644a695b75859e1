"""A client wants to know what to do now.

Claim    Every refusal says whether a retry is safe and with which key, and gives nothing away.
Attack   Payments of more than the payer holds, of null, without a key, and of another amount under
         a used key. And one that the database refuses at each of its statements, as after a lock
         time-out and a cancelled query, or whose connection is lost with its answer.
Why      400 and the text of an exception: the client cannot tell "never" from "later" and "perhaps
         it was done", and tries again, or does not. The text shows SQL to strangers.
Known as Problem details (RFC 9457); verbose errors, information exposure through an error message.
"""

from dataclasses import replace

from attacks.postgres.faults import REPLY_LOST, fails_with
from scenarios.invariants.advice import errors_advise, errors_quote_nothing
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import switch

LOCK_TIME_OUT, CANCELLED = "55P03", "57014"


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 20_00, round=1)
    lab.strike(
        "a payment",
        payer.pays(payee, 10_00),
        (fails_with(LOCK_TIME_OUT), fails_with(CANCELLED), REPLY_LOST),
        round=1,
        retry=False,
    )
    payer, payee = lab.wallets(100_00, 0, round=2)
    paid = payer.pays(payee, 10_00)
    for request in (
        paid,
        payer.pays(payee, 20_00, key=paid.key),
        payer.pays(payee, 150_00),
        replace(payer.pays_raw(payee, "null"), read=paid.read),
        lab.target.keyed(payer.pays(payee, 10_00), None),
    ):
        lab.sender.send(request, round=2)


SCENARIO = Scenario(
    name="problem-document",
    suite="replay",
    claim="Every refusal says whether a retry is safe and with which key, and gives nothing away.",
    story=__doc__,
    attack=attack,
    invariants=(errors_advise, errors_quote_nothing),
    holds_when=switch("errors", "problem"),
    strength="bounded",
)
