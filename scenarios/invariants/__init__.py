"""Judges: pure functions from a history and ground truth to findings."""

from scenarios.invariants.access import at_most_compared, nothing_leaks, strangers_learn_nothing
from scenarios.invariants.answers import (
    answered_within,
    bulk_reads_see,
    no_dirty_read,
    no_server_error,
    no_stale_read,
    refused,
)
from scenarios.invariants.balances import (
    balances_are_explained,
    everything_sums_to_zero,
    money_is_conserved,
    never_more_than,
    never_overdrawn,
    never_paid_out_more_than_held,
)
from scenarios.invariants.limits import joint_overdraft_kept, paid_out_at_most
from scenarios.invariants.observed import Finding, Invariant, Observed, Work, by_round, works
from scenarios.invariants.rates import at_most, refused_only_above
from scenarios.invariants.records import (
    acknowledged_is_recorded,
    legs_prove_the_balances,
    movements_can_be_found,
    replays_answer_alike,
)
from scenarios.invariants.refusals import acknowledged_once, refused_by_the_database
from scenarios.invariants.settling import (
    holds_are_counted,
    no_asset_becomes_another,
    nothing_moves_after_the_end,
    settled_once,
)
from scenarios.invariants.versions import (
    last_acknowledged_is_there,
    losers_get_409,
    nothing_left_behind,
    one_write_a_version,
)

__all__ = [
    "Finding",
    "Invariant",
    "Observed",
    "Work",
    "acknowledged_is_recorded",
    "acknowledged_once",
    "answered_within",
    "at_most",
    "at_most_compared",
    "balances_are_explained",
    "bulk_reads_see",
    "by_round",
    "everything_sums_to_zero",
    "holds_are_counted",
    "joint_overdraft_kept",
    "last_acknowledged_is_there",
    "legs_prove_the_balances",
    "losers_get_409",
    "money_is_conserved",
    "movements_can_be_found",
    "never_more_than",
    "never_overdrawn",
    "never_paid_out_more_than_held",
    "no_asset_becomes_another",
    "no_dirty_read",
    "no_server_error",
    "no_stale_read",
    "nothing_leaks",
    "nothing_left_behind",
    "nothing_moves_after_the_end",
    "one_write_a_version",
    "paid_out_at_most",
    "refused",
    "refused_by_the_database",
    "refused_only_above",
    "replays_answer_alike",
    "settled_once",
    "strangers_learn_nothing",
    "works",
]
