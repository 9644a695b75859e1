"""Sites that take turns under load, and what each turn took of the machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from attacks.http.pump import Pump, PumpPlan, PumpSite, Slot, Turn, added
from reports.price import Side, Spread
from scenarios.percentiles import percentile
from scenarios.pricing.site import Cpu, Site
from scenarios.pricing.statistics import spread
from scenarios.pricing.workload import AMOUNT_MINOR

WARM_SHARE = 0.25
"""Of a slot, which does not count."""
RECORDED_AS_WRONG = 3
SLOWER, LEAST_PAIRS = 4, 8
TAIL = 0.99
"""From there on a quantile is one of …"""
TAILS = 10
"""… so many stretches of slots, where there are as many slots."""


class NotMeasured(Exception):  # noqa: N818 - reads as the sentence "it was not measured"
    """Why nothing can be said. One clear line."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much is measured."""

    pairs: int
    slot_s: float
    clients: int
    seed: int

    @property
    def slower(self) -> "Pace":
        """As long, in a quarter of the slots: for those who wait more than they work."""
        fewer = max(self.pairs // SLOWER, min(self.pairs, LEAST_PAIRS))
        return replace(self, pairs=fewer, slot_s=self.slot_s * self.pairs / fewer)

    def turn(self, site: int, clients: int | None = None) -> Turn:
        warm_s = self.slot_s * WARM_SHARE
        return Turn(site=site, warm_s=warm_s, measure_s=self.slot_s - warm_s, clients=clients)


@dataclass(frozen=True, kw_only=True)
class Took:
    """One slot with the CPU that it took, in seconds."""

    slot: Slot
    engine_s: float
    backends_s: float | None


def in_turns(sites: int, rounds: int) -> list[int]:
    """Whose turn it is: forwards, backwards, forwards (ABBA…), so that drifts hit all alike."""
    there = list(range(sites))
    return [site for number in range(rounds) for site in (there, there[::-1])[number % 2]]


def take_turns(
    pump: Pump, sites: Sequence[Site], pumped: Sequence[PumpSite], turns: Sequence[Turn], seed: int
) -> list[Took]:
    """The first turn of a site is there to get ready, and counts for nothing. Raises PumpError."""
    seen: dict[tuple[str, int], Cpu] = {}
    first_turns = {turn.site: number for number, turn in reversed([*enumerate(turns)])}.values()

    def look(what: str, number: int) -> None:
        site = sites[turns[number].site]
        seen[what, number] = site.cpu()
        if what == "measured" and number in first_turns:
            site.plan_again()

    plan = PumpPlan(sites=tuple(pumped), turns=tuple(turns), seed=seed)
    slots = pump.run(plan, look)
    took = []
    for number, slot in enumerate(slots):
        engine_s, backends_s = seen["measured", number].since(seen["measuring", number])
        took.append(Took(slot=slot, engine_s=engine_s, backends_s=backends_s))
    return took


def must_be_right(
    site: Site, took: Sequence[Took], others: Sequence[Slot] = (), *, refusals: bool = False
) -> None:
    """Raises NotMeasured for answers that were wrong, and for books that are.

    `others` are slots of the same site that are not shown, such as those that warm it up.
    """
    slots = [*(one.slot for one in took), *others]
    wrong = added([slot.wrong for slot in slots])
    refused = {} if refusals else added([slot.refused for slot in slots])
    if bad := {**wrong, **refused}:
        first = next((slot.first_wrong for slot in slots if slot.first_wrong), "")
        told = ", ".join(
            f"{count} x {what}" for what, count in list(bad.items())[:RECORDED_AS_WRONG]
        )
        raise NotMeasured(f"{site.build.name} answered {told}{f' ({first})' if first else ''}")
    deposits = added([slot.acknowledged for slot in slots]).get("deposit", 0)
    if books := site.wrong_books(deposits * AMOUNT_MINOR):
        raise NotMeasured(f"the books of {site.build.name} are wrong after the load: {books}")


def good(slot: Slot) -> int:
    return sum(len(latencies) for latencies in slot.latencies_us.values())


def per_s(took: Sequence[Took]) -> Spread:
    """Good answers a second, of each slot."""
    return spread([good(one.slot) / one.slot.measured_s for one in took])


def engine_cpu_ms(took: Sequence[Took]) -> Spread:
    """For one good answer. Raises NotMeasured when a slot has none."""
    if not all(good(one.slot) for one in took):
        raise NotMeasured("nothing was answered in a slot: take longer ones")
    return spread([1000 * one.engine_s / good(one.slot) for one in took])


def side(site: Site, took: Sequence[Took], shown: str) -> Side:
    """Raises NotMeasured when a slot has no good answer."""
    shown_ms = latency(took, shown, 0.5), latency(took, shown, 0.99)
    backends = [
        1000 * one.backends_s / good(one.slot) for one in took if one.backends_s is not None
    ]
    return Side(
        build=site.build.name,
        good=sum(good(one.slot) for one in took),
        per_s=per_s(took),
        p50_ms=shown_ms[0],
        p99_ms=shown_ms[1],
        engine_cpu_ms=engine_cpu_ms(took),
        postgres_cpu_ms=spread(backends) if len(backends) == len(took) else None,
        driver_cpu_ms=spread([driver_ms(one.slot) for one in took]),
    )


def driver_ms(slot: Slot) -> float:
    """CPU of the load generator for one good answer of the whole turn."""
    return 1000 * slot.pump_cpu_s / max(1, sum(slot.acknowledged.values()))


def latency(took: Sequence[Took], name: str, share: float) -> Spread:
    """A quantile in milliseconds, of each slot. Raises NotMeasured when one has no answer.

    A short slot has too few answers to have a tail: that is one of a tenth of all slots, in a row.
    """
    if not all(one.slot.good(name) for one in took):
        raise NotMeasured(f"no {name} was answered in a slot: take longer ones")
    size = max(1, len(took) // TAILS) if share >= TAIL else 1
    rows = [took[first : first + size] for first in range(0, len(took) - size + 1, size)]
    each = [chain.from_iterable(one.slot.latencies_us[name] for one in row) for row in rows]
    return spread([percentile(sorted(latencies), share) / 1000 for latencies in each])


def by_site(took: Sequence[Took]) -> Mapping[int, list[Took]]:
    found: dict[int, list[Took]] = {}
    for one in took:
        found.setdefault(one.slot.site, []).append(one)
    return found
