"""The canary: a claim that no service can hold.

Claim    An acknowledged payment changes no balance.
Attack   One payment.
Why      If this is not seen broken, the harness is blind, and no other verdict is worth anything.
Known as Canary, mutation of the judge.
"""

from scenarios.invariants import Finding, Observed
from scenarios.invariants.observed import shown
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import never

PAID_MINOR = 1_00


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 0, round=1)
    lab.sender.send(payer.pays(payee, PAID_MINOR), round=1)


def nobody_is_ever_paid(observed: Observed) -> tuple[Finding, ...]:
    """False by design; judged from the same ground truth as everything else."""
    return tuple(
        Finding(
            invariant="nobody is ever paid",
            summary=f"Wallet {balance.wallet} was paid {shown(balance.amount_minor)}, as it should "
            "be: the harness sees what happens.",
            expected="0.00",
            observed=shown(balance.amount_minor),
            round=observed.round,
        )
        for balance in observed.truth.balances.values()
        if balance.amount_minor == PAID_MINOR
    )


SCENARIO = Scenario(
    name="canary",
    suite="canary",
    claim="An acknowledged payment changes no balance (false by design).",
    story=__doc__,
    attack=attack,
    invariants=(nobody_is_ever_paid,),
    holds_when=never(),
    strength="bounded",
    canary=True,
)
