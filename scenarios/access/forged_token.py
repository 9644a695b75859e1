"""Tokens that nobody issued.

Claim    Only tokens that the service issued, and that are still good, are believed.
Attack   Payments with forged tokens: alg none, another key, RS256 and HS256 confused, expired,
         not yet valid, without subject or expiry, for another audience, garbage.
Why      A token is a text; what makes it more than a text is only what is checked of it.
Known as Broken authentication (OWASP API2), JWT algorithm confusion (RFC 8725).
"""

from dataclasses import replace

from scenarios.access.forging import FORGED, claims_of
from scenarios.invariants import balances_are_explained, refused
from scenarios.lab import Lab, Wallet
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import answered


def attack(lab: Lab) -> None:
    _believed(lab)
    for number, (kind, forge) in enumerate(FORGED.items(), start=1):
        victim, thief = lab.wallets(50_00, 0, round=number)
        token = forge(lab.access, claims_of(victim.ref.token))
        request = victim.pays(thief, 40_00)
        forged = lab.access.as_other(request, "forged", replace(victim.ref, token=token))
        text = f"{request.text}, token: {kind}"
        lab.sender.send(replace(forged, text=text), round=number)
        lab.must(victim.pays_out(50), round=number)


def _believed(lab: Lab) -> None:
    """What signs the forged tokens signs good ones, too: only what is forged is refused."""
    payer, payee = lab.wallets(50_00, 0, round=None)
    if payer.ref.token is not None:
        token = lab.access.sign(claims_of(payer.ref.token))
        signed = Wallet(ref=replace(payer.ref, token=token), lab=lab)
        lab.must(signed.pays(payee, 1_00), round=None)


SCENARIO = Scenario(
    name="forged-token",
    suite="access",
    claim="Only tokens that the service issued, and that are still good, are believed.",
    story=__doc__,
    attack=attack,
    invariants=(refused("forged"), balances_are_explained),
    holds_when=switch("authentication", "jwt"),
    strength="bounded",
    requires=(answered("forged"),),
)
