"""More readers come than there are connections.

Claim    More requests than workers and connections all end, and the next one is served.
Attack   Seventy readers at once, while somebody else has locked the table: the first ones wait with
         every connection of the pool, the next with every worker of the service, the rest for a
         worker. Then the lock is let go, and the service is asked two more things.
Why      Whoever keeps its connection until after the answer needs a worker to finish, and every
         worker waits for a connection. Nobody moves, though nothing is locked any more.
Known as Connection pool exhaustion, resource deadlock; session per request.
"""

import time
from contextlib import closing

from attacks.history import Recorder
from attacks.http.sender import Batch, Sender, in_thread
from scenarios.invariants import answered_within, no_server_error
from scenarios.lab import AttackFailed, Lab
from scenarios.measures import release_spread
from scenarios.model import Scenario
from scenarios.needs import switch
from scenarios.requirements import overlapped, struck

READERS = 70
"""More than 40 workers, as sync endpoints have by default, and the connections of the pool."""
BOUND_S = 5.0
"""The lock included."""
CLIENTS_WAIT_S = 6.0
FULL_WITHIN_S = 3.0
PROBE_S = 0.2
POOL_TIMEOUT = {"POOL_TIMEOUT_S": "8"}
"""Later than the clients wait: what ends by a time-out has not ended by itself."""


def attack(lab: Lab) -> None:
    wallets = lab.wallets(60_00, 40_00, round=1)
    read = lab.target.read_balances([wallet.ref for wallet in wallets])
    with lab.side_session() as side:
        side.hold(*lab.target.locks.all_wallets())
        crowd = in_thread(lambda: lab.release([read] * READERS, round=1, deadline_s=CLIENTS_WAIT_S))
        if not side.wait_for_waiters(lab.pool_size):
            raise AttackFailed("the readers did not take all connections")
        _wait_until_no_worker_is_free(lab)
        lab.recorder.event("crowded", "no connection and no worker is free", round=1)
        side.release()
    if not _all_answered(crowd.result()):
        # It is stuck, perhaps for minutes. That was seen.
        lab.service.kill()
        lab.service.start()
        return
    lab.sender.send(read, round=1)
    lab.sender.send(lab.target.describe(), round=1)


def _wait_until_no_worker_is_free(lab: Lab) -> None:
    """Raises AttackFailed when one is for too long."""
    until_s = time.monotonic() + FULL_WITHIN_S
    with closing(Sender(lab.base_url, Recorder(), patient_s=PROBE_S)) as prober:
        while time.monotonic() < until_s:
            if prober.ask(lab.target.describe()).outcome == "unknown":
                return
    raise AttackFailed(f"{READERS} requests did not keep the service's workers busy")


def _all_answered(batch: Batch) -> bool:
    return all(operation.status is not None for operation in batch.operations)


SCENARIO = Scenario(
    name="pool-exhaustion",
    suite="resources",
    claim="More requests than workers and connections all end, and the next one is served.",
    story=__doc__,
    attack=attack,
    invariants=(answered_within(BOUND_S), no_server_error),
    holds_when=switch("session_scope", "inline"),
    requires=(overlapped, struck("crowded")),
    measures=(release_spread,),
    settings=POOL_TIMEOUT,
    strength="bounded",
)
