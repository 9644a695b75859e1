"""Every scenario, in the order in which they are run and shown."""

from scenarios import canary
from scenarios.atomicity import (
    acked_not_committed,
    blind_retry,
    chained_movements,
    failed_but_committed,
    partial_commit,
    persistence,
    refused_movement,
)
from scenarios.concurrency import (
    deadlock,
    double_capture,
    double_reverse,
    double_spend,
    frozen_race,
    in_flight_funds,
    lost_update,
    read_skew,
    self_transfer,
    stale_retry,
    voucher,
)
from scenarios.model import Scenario
from scenarios.money import asset_mismatch, bad_amounts, ledger, wrong_types
from scenarios.outage import redis_commands, redis_outage, stale_cache
from scenarios.replay import concurrent_replay, lost_ack, sequential_replay

SCENARIOS: tuple[Scenario, ...] = (
    double_spend.SCENARIO,
    read_skew.SCENARIO,
    partial_commit.SCENARIO,
    chained_movements.SCENARIO,
    sequential_replay.SCENARIO,
    concurrent_replay.SCENARIO,
    lost_ack.SCENARIO,
    deadlock.SCENARIO,
    redis_outage.SCENARIO,
    redis_commands.SCENARIO,
    stale_cache.SCENARIO,
    lost_update.SCENARIO,
    stale_retry.SCENARIO,
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
    asset_mismatch.SCENARIO,
    canary.SCENARIO,
)


class UnknownScenario(Exception):  # noqa: N818 - the scenario is unknown; that is the whole story
    """One clear line: no claim and no suite of that name."""


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
