"""A payment fails at one of its statements; then balances are read.

Claim    No read returns a balance that no transaction committed.
Attack   A payment is sent again and again. At each of its statements once the database fails (a
         serialisation failure, a cancelled query), once the connection dies, once the reply is
         lost. Before and after that both balances are read.
Why      What is written to a cache as if it were committed is read by everybody until it expires,
         whatever became of the transaction.
Known as Dirty read (through a cache); dual write.
"""

from attacks.postgres.faults import CONNECTION_RESET, REPLY_LOST, fails_with
from scenarios.invariants import no_dirty_read
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import RECORDED, any_of, switch

FAILURES = ("40001", "57014")


def attack(lab: Lab) -> None:
    payer, payee = lab.wallets(100_00, 20_00, round=1)
    lab.must(payee.read(), round=1)
    lab.strike(
        "a payment",
        payer.pays(payee, 60_00),
        (CONNECTION_RESET, REPLY_LOST, *(fails_with(sqlstate) for sqlstate in FAILURES)),
        round=1,
        retry=False,
        around=(payer.read(), payee.read()),
    )


SCENARIO = Scenario(
    name="dirty-cache",
    suite="concurrency",
    claim="No read returns a balance that no transaction committed.",
    story=__doc__,
    attack=attack,
    invariants=(no_dirty_read,),
    holds_when=any_of(
        switch("unit_of_work", "per_step", "per_movement", "atomic"),
        switch("balance_cache", "never_invalidated", "before_commit", "after_commit", "off"),
    ),
    strength="bounded",
    # A slow machine is no outage: what is not cached cannot be dirty.
    settings={"REDIS_CALL_TIMEOUT_MS": "5000"},
    applies_when=RECORDED,
    applies_not="this build records no movement that says what was committed",
)
