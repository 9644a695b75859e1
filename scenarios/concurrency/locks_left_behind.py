"""A payment fails, and its locks stay.

Claim    A request that fails leaves no lock behind.
Attack   A payment is sent again and again. At each of its statements once the database fails (a
         serialisation failure, a deadlock, a lock that is not available, a cancelled query). Then
         PostgreSQL is asked which advisory locks sessions hold that have nothing to do.
Why      A lock of the session outlives its transaction. After an error the unlock is a statement
         of a failed transaction, which fails as well; the connection goes back to the pool and
         keeps the lock, and whoever needs that wallet waits for ever.
Known as Leaked lock; session-level advisory locks behind a connection pool.
"""

from attacks.postgres.faults import REFUSED, RETRIABLE, fails_with
from scenarios.invariants import nothing_left_behind
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import unless

ENDS_THE_SESSION = "53300"
"""And with it all of its locks."""


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 20_00, round=1)
    lab.strike(
        "a payment that fails",
        payer.pays(payee, 60_00),
        [fails_with(code) for code in (*RETRIABLE, *REFUSED) if code != ENDS_THE_SESSION],
        round=1,
        retry=False,
    )


SCENARIO = Scenario(
    name="locks-left-behind",
    suite="concurrency",
    claim="A request that fails leaves no lock behind.",
    story=__doc__,
    attack=attack,
    invariants=(nothing_left_behind,),
    holds_when=unless("locking", "advisory_session"),
    strength="bounded",
)
