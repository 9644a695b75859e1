"""Two wallets cover for each other, and both are emptied at once.

Claim    The wallets of one owner are together never further below zero than their joint limit.
Attack   An owner has two wallets that may go below zero as long as both together stay above -20.00.
         A payment out of each, which the limit bears alone but not together, in every order their
         statements can take.
Why      Each payment adds up both wallets and changes its own. Neither writes what the other reads
         and locks: the sum that each has seen is right, and what comes of both is not.
Known as Write skew (A5B); constraint over several rows, materialised conflict.
"""

from engine.defences import values_of
from scenarios.invariants import (
    acknowledged_is_recorded,
    balances_are_explained,
    joint_overdraft_kept,
    money_is_conserved,
)
from scenarios.lab import Lab
from scenarios.model import Scenario
from scenarios.needs import all_of, any_of, switch

LIMIT_MINOR = 20_00
ONE_BY_ONE = any_of(
    all_of(
        switch("limit_lock", "owner"),
        switch("locking", *(value for value in values_of("locking") if value != "serializable")),
    ),
    all_of(
        switch("locking", "serializable"),
        switch("retry", "none", "blind", "bounded"),
        switch("unit_of_work", "per_step", "per_movement", "atomic"),
    ),
)
"""A snapshot is older than the wait for a lock: there only PostgreSQL's refusal helps."""


def attack(lab: Lab) -> None:
    main, shop, mall = lab.wallets(60_00, 0, 0, round=1)
    savings = lab.beside(main, 40_00, round=1)
    lab.must(main.limits_its_owner(overdraft_minor=LIMIT_MINOR), round=1)
    lab.must(main.pays(shop, 1_00), round=1)
    lab.explore(
        "a payment out of each of two wallets",
        main.pays(shop, 70_00),
        savings.pays(mall, 70_00),
        round=1,
    )


SCENARIO = Scenario(
    name="write-skew",
    suite="concurrency",
    claim="The wallets of one owner are together never further below zero than their joint limit.",
    story=__doc__,
    attack=attack,
    invariants=(
        joint_overdraft_kept(LIMIT_MINOR),
        money_is_conserved,
        balances_are_explained,
        acknowledged_is_recorded,
    ),
    # Committed step by step, the lock is gone with the first of them: the payee's, where ids sort.
    holds_when=all_of(
        ONE_BY_ONE,
        any_of(
            switch("unit_of_work", "per_movement", "swallow_then_commit", "atomic"),
            switch("lock_order", "request"),
        ),
    ),
)
