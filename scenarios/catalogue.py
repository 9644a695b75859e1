"""Every scenario, in the order in which they are run and shown."""

from scenarios import canary
from scenarios.access import (
    forged_token,
    function_access,
    impersonation,
    leaks,
    mass_assignment,
    object_access,
    pin,
    pin_race,
    token_replay,
)
from scenarios.atomicity import (
    acked_not_committed,
    blind_retry,
    chained_movements,
    durability,
    failed_but_committed,
    partial_commit,
    persistence,
    refused_movement,
)
from scenarios.batch import batch_crash, batch_replay, batch_twice, compensate_twice
from scenarios.concurrency import (
    conflict,
    deadlock,
    dirty_cache,
    double_capture,
    double_reverse,
    double_spend,
    frozen_race,
    in_flight_funds,
    locks_left_behind,
    lost_update,
    passing_failure,
    phantom,
    read_skew,
    read_your_write,
    self_transfer,
    stale_retry,
    unique_by_check,
    version_ignored,
    voucher,
    write_skew,
)
from scenarios.model import Scenario
from scenarios.money import (
    asset_mismatch,
    bad_amounts,
    immutable,
    ledger,
    overflow,
    rounding,
    wrong_types,
    zero_sum,
)
from scenarios.outage import (
    cache_loss,
    rate_limit_outage,
    redis_commands,
    redis_outage,
    stale_cache,
)
from scenarios.replay import (
    body_swap,
    concurrent_replay,
    failed_key,
    key_missing,
    key_scope,
    lost_ack,
    poisoned_key,
    problem_document,
    sequential_replay,
)
from scenarios.resources import pool_exhaustion, rate_limit, timeout

SCENARIOS: tuple[Scenario, ...] = (
    double_spend.SCENARIO,
    read_skew.SCENARIO,
    partial_commit.SCENARIO,
    chained_movements.SCENARIO,
    sequential_replay.SCENARIO,
    concurrent_replay.SCENARIO,
    lost_ack.SCENARIO,
    body_swap.SCENARIO,
    key_scope.SCENARIO,
    key_missing.SCENARIO,
    failed_key.SCENARIO,
    poisoned_key.SCENARIO,
    problem_document.SCENARIO,
    timeout.SCENARIO,
    pool_exhaustion.SCENARIO,
    deadlock.SCENARIO,
    redis_outage.SCENARIO,
    redis_commands.SCENARIO,
    stale_cache.SCENARIO,
    lost_update.SCENARIO,
    stale_retry.SCENARIO,
    passing_failure.SCENARIO,
    write_skew.SCENARIO,
    phantom.SCENARIO,
    unique_by_check.SCENARIO,
    self_transfer.SCENARIO,
    double_reverse.SCENARIO,
    double_capture.SCENARIO,
    in_flight_funds.SCENARIO,
    frozen_race.SCENARIO,
    voucher.SCENARIO,
    failed_but_committed.SCENARIO,
    acked_not_committed.SCENARIO,
    blind_retry.SCENARIO,
    persistence.SCENARIO,
    refused_movement.SCENARIO,
    bad_amounts.SCENARIO,
    wrong_types.SCENARIO,
    ledger.SCENARIO,
    zero_sum.SCENARIO,
    conflict.SCENARIO,
    version_ignored.SCENARIO,
    locks_left_behind.SCENARIO,
    durability.SCENARIO,
    rounding.SCENARIO,
    overflow.SCENARIO,
    immutable.SCENARIO,
    rate_limit.SCENARIO,
    rate_limit_outage.SCENARIO,
    cache_loss.SCENARIO,
    dirty_cache.SCENARIO,
    read_your_write.SCENARIO,
    batch_twice.SCENARIO,
    batch_crash.SCENARIO,
    batch_replay.SCENARIO,
    compensate_twice.SCENARIO,
    impersonation.SCENARIO,
    forged_token.SCENARIO,
    object_access.SCENARIO,
    function_access.SCENARIO,
    pin.SCENARIO,
    pin_race.SCENARIO,
    token_replay.SCENARIO,
    leaks.SCENARIO,
    mass_assignment.SCENARIO,
    asset_mismatch.SCENARIO,
    canary.SCENARIO,
)


class UnknownScenario(Exception):  # noqa: N818 - the scenario is unknown; that is the whole story
    """One clear line: no claim and no suite of that name."""


def claim_named(name: str) -> Scenario:
    """The one of this very name, which a suite may have, too."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def select(names: tuple[str, ...]) -> tuple[Scenario, ...]:
    """Scenarios by claim ("partial-commit") or suite ("partial commit"); all without names."""
    if not names:
        return SCENARIOS
    wanted = {name.lower() for name in names}
    known = {s.name for s in SCENARIOS} | {s.suite.lower() for s in SCENARIOS}
    if unknown := sorted(wanted - known):
        raise UnknownScenario(
            f"no claim or suite is called {', '.join(unknown)}; there are: "
            f"{', '.join(sorted(known))}"
        )
    return tuple(s for s in SCENARIOS if {s.name, s.suite.lower()} & wanted)
