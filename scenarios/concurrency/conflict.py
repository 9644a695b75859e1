"""Two payments begin from one version of a wallet.

Claim    Of the writes from one version exactly one is acknowledged; the others get 409, or begin
         anew from the next version.
Attack   Two payments from one wallet that holds enough for both, in every order their statements
         can take.
Why      Both have read the same version. Whoever writes without a look at it writes over the other
         one, and whoever looks and calls it a fault of the server tells nobody to try again.
Known as Optimistic locking, compare-and-set; first committer wins; HTTP 409.
"""

from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    losers_get_409,
    money_is_conserved,
    one_write_a_version,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, any_of, switch


def attack(lab: Lab) -> None:
    payer, shop, mall = lab.wallets(100_00, 0, 0, round=1)
    lab.explore(
        "two payments from one version", payer.pays(shop, 10_00), payer.pays(mall, 20_00), round=1
    )


SCENARIO = Scenario(
    name="conflict",
    suite="concurrency",
    claim="Of the writes from one version one is acknowledged; the others get 409 or begin anew.",
    story=__doc__,
    attack=attack,
    invariants=(
        one_write_a_version,
        losers_get_409,
        balances_are_explained,
        money_is_conserved,
        acknowledged_is_recorded,
    ),
    holds_when=any_of(
        switch("locking", "advisory_session", "row", "conditional", "advisory"),
        all_of(
            switch("locking", "version"),
            any_of(switch("errors", "problem"), switch("retry", "bounded")),
        ),
        all_of(
            switch("locking", "serializable"),
            switch("retry", "blind", "bounded"),
            switch("unit_of_work", "per_step", "per_movement", "atomic"),
        ),
    ),
)
