"""Strategies of locking side by side: writers who meet in 2, 10 or 1,000 wallets, readers beside.

All strategies are up at the same time and take turns. When optimistic wins and when pessimistic
does is computed from the rounds, not known beforehand.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import psycopg2

from attacks.http.pump import Pump, PumpError, added
from engine.defences import Build, parse_build
from engine.process import EngineError
from reports.price import Locking, Strategy
from scenarios.pricing.locking_words import verdicts
from scenarios.pricing.site import Population, Site, open_site
from scenarios.pricing.statistics import ratios, spread
from scenarios.pricing.turns import (
    NotMeasured,
    Pace,
    Took,
    by_site,
    in_turns,
    latency,
    must_be_right,
    take_turns,
)
from scenarios.pricing.workload import meeting
from scenarios.stand import Stand

Kind = Literal["pessimistic", "optimistic", "one statement"]
STRATEGIES: Mapping[str, Kind] = {
    "row": "pessimistic",
    "advisory": "pessimistic",
    "version": "optimistic",
    "serializable": "optimistic",
    "conditional": "one statement",
}
WALLETS = (2, 10, 1000)
BOTH = {"pin": "off", "balance_cache": "off"}
BOTH_WHY = (
    "hardened with pin=off and balance_cache=off: of two wallets the rows of their owners' PINs "
    "would be what everybody waits for, and readers would be answered from Redis"
)


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """How many ask at once."""

    writers: int
    readers: int


def crowd_of(pace: Pace) -> Crowd:
    return Crowd(writers=pace.clients, readers=max(1, pace.clients // 2))


def compare_locking(
    stand: Stand,
    pace: Pace,
    tell: Callable[[str], None],
    counts: Sequence[int] = WALLETS,
    names: Sequence[str] = tuple(STRATEGIES),
) -> Locking:
    """Raises StoreError and MigrationError; what cannot be measured is named in `failed`."""
    pace, crowd = pace.slower, crowd_of(pace)
    strategies: list[Strategy] = []
    failed: list[str] = []
    for wallets in counts:
        tell(f"{len(names)} strategies on {wallets} wallets")
        try:
            measured, wrong = _on(stand, pace, crowd, wallets, names)
        except (EngineError, PumpError, psycopg2.Error) as error:
            failed.append(f"locking on {wallets} wallets: {' '.join(str(error).split())}")
            continue
        strategies += measured
        failed += wrong
    return Locking(
        writers=crowd.writers,
        readers=crowd.readers,
        both=BOTH_WHY,
        strategies=tuple(strategies),
        failed=tuple(failed),
        says=verdicts(strategies),
    )


def build_with(locking: str) -> Build:
    settings = {"locking": locking, **BOTH}
    return parse_build(",".join(["hardened", *(f"{k}={v}" for k, v in settings.items())]))


def _on(
    stand: Stand, pace: Pace, crowd: Crowd, wallets: int, names: Sequence[str]
) -> tuple[list[Strategy], list[str]]:
    with ExitStack() as opened:
        sites = [
            opened.enter_context(open_site(stand, build_with(name), Population(wallets=wallets)))
            for name in names
        ]
        pump = opened.enter_context(Pump())
        pumped = [
            site.pumped(meeting(site.supply, crowd.writers, crowd.readers, pace.seed))
            for site in sites
        ]
        before = [site.rolled_back() for site in sites]
        turns = [pace.turn(site) for site in in_turns(len(sites), pace.pairs + 1)]
        took = by_site(take_turns(pump, sites, pumped, turns, pace.seed))
        measured: list[Strategy] = []
        wrong: list[str] = []
        row = names.index("row") if "row" in names else None
        for number, site in enumerate(sites):
            try:
                must_be_right(site, took[number], refusals=True)
                beside = None if row is None else took[row][1:]
                measured.append(
                    _strategy(names[number], wallets, site, took[number], beside, before[number])
                )
            except NotMeasured as error:
                wrong.append(f"locking={names[number]} on {wallets} wallets: {error}")
        return measured, wrong


def _strategy(  # noqa: PLR0913, PLR0917 - what a row of the table is made of
    name: str,
    wallets: int,
    site: Site,
    all_took: Sequence[Took],
    row: Sequence[Took] | None,
    rolled_back_before: int,
) -> Strategy:
    """Raises NotMeasured when a slot has no payment or no reading."""
    took = all_took[1:]
    per_s = _payments_per_s(took)
    refused = sum(sum(one.slot.refused.values()) for one in took)
    paid = sum(one.slot.good("transfer") for one in took)
    acknowledged = added([one.slot.acknowledged for one in all_took])
    # A reading ends its database transaction that way, too.
    rolled_back = site.rolled_back() - rolled_back_before - acknowledged["read"]
    return Strategy(
        locking=name,
        kind=STRATEGIES[name],
        wallets=wallets,
        build=site.build.name,
        per_s=spread(per_s),
        to_row=None if row is None else ratios(per_s, _payments_per_s(row)),
        conflicts=100 * refused / (paid + refused),
        rolled_back=100 * max(0, rolled_back) / acknowledged["transfer"],
        writer_p50_ms=latency(took, "transfer", 0.5),
        writer_p99_ms=latency(took, "transfer", 0.99),
        reader_p50_ms=latency(took, "read", 0.5),
        reader_p99_ms=latency(took, "read", 0.99),
    )


def _payments_per_s(took: Sequence[Took]) -> list[float]:
    return [one.slot.good("transfer") / one.slot.measured_s for one in took]
