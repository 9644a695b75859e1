"""Two wallets pay each other at the same moment.

Claim    Opposite transfers end within 2 s, without a server error, and nothing is lost.
Attack   As many transfers as the service has database connections, half of them in each direction,
         released together, over several rounds.
Why      Each locks its payer first and then waits for its payee, whom the other has locked: a
         circle, which PostgreSQL breaks by ending one of them.
Known as Deadlock, lock-order inversion.
"""

from attacks.history import History
from reports.evidence import Measure
from scenarios.invariants import (
    acknowledged_is_recorded,
    answered_within,
    balances_are_explained,
    money_is_conserved,
    no_server_error,
)
from scenarios.lab import Lab
from scenarios.measures import release_spread
from scenarios.model import Scenario
from scenarios.needs import SERIALISED, all_of, any_of, switch
from scenarios.requirements import acknowledged, overlapped

ROUNDS = 8
BOUND_S = 2.0


def attack(lab: Lab) -> None:
    for number in lab.rounds(ROUNDS):
        left, right = lab.wallets(500_00, 500_00, round=number)
        half = lab.pool_size // 2
        requests = [left.pays(right, 7_00) for _ in range(half)]
        requests += [right.pays(left, 5_00) for _ in range(half)]
        lab.random.shuffle(requests)
        lab.sender.together(requests, round=number)


def server_errors(history: History) -> Measure:
    """How often the circle really closed, which luck decides here."""
    raced = [o for o in history.operations if o.round is not None and o.name == "transfer"]
    broken = [o for o in raced if o.status is not None and o.status >= 500]
    rounds = {o.round for o in broken}
    return Measure(
        name="requests that ended with a server error",
        value=f"{len(broken)} of {len(raced)}, in {len(rounds)} rounds",
    )


SCENARIO = Scenario(
    name="deadlock",
    suite="deadlock",
    claim="Opposite transfers end within 2 s, without a server error, and nothing is lost.",
    story=__doc__,
    attack=attack,
    invariants=(
        no_server_error,
        answered_within(BOUND_S),
        money_is_conserved,
        balances_are_explained,
        acknowledged_is_recorded,
    ),
    holds_when=all_of(
        SERIALISED, any_of(switch("lock_order", "sorted"), switch("retry", "bounded"))
    ),
    requires=(overlapped, acknowledged),
    measures=(server_errors, release_spread),
)
