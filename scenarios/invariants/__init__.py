"""Judges: pure functions from a history and ground truth to findings."""

from scenarios.invariants.answers import (
    answered_within,
    bulk_reads_see,
    no_server_error,
    no_stale_read,
    refused,
)
from scenarios.invariants.balances import (
    balances_are_explained,
    money_is_conserved,
    never_overdrawn,
    never_paid_out_more_than_held,
)
from scenarios.invariants.observed import Finding, Invariant, Observed, Work, by_round, works
from scenarios.invariants.records import (
    acknowledged_is_recorded,
    legs_prove_the_balances,
    replays_answer_alike,
)
from scenarios.invariants.settling import (
    holds_are_counted,
    no_asset_becomes_another,
    nothing_moves_after_the_end,
    settled_once,
)

__all__ = [
    "Finding",
    "Invariant",
    "Observed",
    "Work",
    "acknowledged_is_recorded",
    "answered_within",
    "balances_are_explained",
    "bulk_reads_see",
    "by_round",
    "holds_are_counted",
    "legs_prove_the_balances",
    "money_is_conserved",
    "never_overdrawn",
    "never_paid_out_more_than_held",
    "no_asset_becomes_another",
    "no_server_error",
    "no_stale_read",
    "nothing_moves_after_the_end",
    "refused",
    "replays_answer_alike",
    "settled_once",
    "works",
]
