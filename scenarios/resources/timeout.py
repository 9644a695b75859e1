"""A request has to wait for too long.

Claim    A request over its bound is answered, is whole or nothing, and its key tells which.
Attack   A payment whose wallet somebody else has locked and does not let go; then its key is asked
         for, and it is sent again. And a payment for which an answer of the database comes later
         than anybody waits, or the last one not at all; then it is sent again. The service runs
         with bounds of 0.4 s for a lock and 1 s for a request, so that nobody waits for long here.
Why      Nothing ends by itself that nothing bounds: the client gives up, and the work goes on and
         succeeds when nobody is left to hear of it. "Time-out" is then taken for "failed".
Known as Unbounded wait, lock time-out, deadline; time-out is not failure.
"""

from attacks.postgres.faults import REPLY_LATE, REPLY_LOST
from scenarios.invariants import (
    acknowledged_is_recorded,
    answered_within,
    balances_are_explained,
    money_is_conserved,
)
from scenarios.invariants.advice import errors_advise, the_key_tells
from scenarios.lab import AttackFailed, Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, switch
from scenarios.requirements import acknowledged, struck

BOUND_S = 2.0
BOUNDS = {
    "POOL_TIMEOUT_S": "0.5",
    "LOCK_TIMEOUT_MS": "400",
    "STATEMENT_TIMEOUT_MS": "800",
    "REQUEST_DEADLINE_S": "1",
}


def attack(lab: Lab) -> None:
    _locked(lab, number=1)
    payer, payee = lab.wallets(100_00, 20_00, round=2)
    lab.strike(
        "a payment and its retry",
        payer.pays(payee, 10_00),
        (REPLY_LATE,),
        at_the_end=(REPLY_LOST,),
        round=2,
    )


def _locked(lab: Lab, *, number: int) -> None:
    payer, payee = lab.wallets(100_00, 0, round=number)
    payment = payer.pays(payee, 10_00)
    with lab.side_session() as side:
        side.hold(*payer.row_lock())
        waiting = lab.sender.background(payment, round=number)
        if side.wait_for_waiter() is None:
            raise AttackFailed("the payment did not wait for the wallet that was locked")
        lab.recorder.event("locked", "the payer's wallet is locked", round=number)
        waiting.result()
        side.release()
    if not lab.striker.wait_until_quiet():
        raise AttackFailed("the payment was still under way long after the lock was gone")
    lab.sender.send(lab.target.fate_of(payment), round=number)
    lab.sender.send(payment, round=number)
    lab.sender.send(lab.target.fate_of(payment), round=number)


SCENARIO = Scenario(
    name="timeout",
    suite="resources",
    claim="A request over its bound is answered, is whole or nothing, and its key tells which.",
    story=__doc__,
    attack=attack,
    invariants=(
        answered_within(BOUND_S),
        acknowledged_is_recorded,
        balances_are_explained,
        the_key_tells,
        errors_advise,
        money_is_conserved,
    ),
    holds_when=all_of(
        switch("timeouts", "on"),
        switch("idempotency", "check_then_insert", "claim"),
        switch("errors", "problem"),
    ),
    requires=(struck("locked"), acknowledged),
    settings=BOUNDS,
    strength="bounded",
)
