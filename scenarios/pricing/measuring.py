"""One price: both builds up at the same time, loaded in turns, their books looked at afterwards."""

from contextlib import ExitStack

import psycopg2

from attacks.http.pump import Pump, PumpError
from engine.defences import switches
from engine.process import EngineError
from reports.price import Price, Side
from scenarios.pricing.sentences import price_in_words, priced_by
from scenarios.pricing.site import Population, open_site
from scenarios.pricing.statistics import differences, ratios
from scenarios.pricing.subjects import Subject
from scenarios.pricing.turns import (
    NotMeasured,
    Pace,
    by_site,
    in_turns,
    must_be_right,
    side,
    take_turns,
)
from scenarios.pricing.workload import SHOWN, clients
from scenarios.stand import Stand

WALLETS_A_CLIENT = 8


def measure(stand: Stand, subject: Subject, pace: Pace) -> Price:
    """Raises StoreError and MigrationError; all else that goes wrong is the price's own status."""
    try:
        on, off = _sides(stand, subject, pace)
    except (NotMeasured, EngineError, PumpError, psycopg2.Error) as error:
        return _price(subject, status="unknown", words=" ".join(str(error).split()))
    return compared(subject, on, off)


def _sides(stand: Stand, subject: Subject, pace: Pace) -> tuple[Side, Side]:
    population = Population(
        wallets=pace.clients * WALLETS_A_CLIENT, limited=subject.workload == "limited payments"
    )
    with ExitStack() as opened:
        sites = [
            opened.enter_context(open_site(stand, build, population)) for build in subject.builds
        ]
        pump = opened.enter_context(Pump())
        pumped = [
            site.pumped(clients(site.supply, subject.workload, pace.clients, pace.seed))
            for site in sites
        ]
        # The first round is no pair: caches fill, connections open.
        turns = [pace.turn(site) for site in in_turns(2, pace.pairs + 1)]
        took = by_site(take_turns(pump, sites, pumped, turns, pace.seed))
        for number, site in enumerate(sites):
            must_be_right(site, took[number])
        on, off = (
            side(site, took[number][1:], SHOWN[subject.workload])
            for number, site in enumerate(sites)
        )
        return on, off


def compared(subject: Subject, on: Side, off: Side) -> Price:
    """What the figures of both sides say of the switch."""
    throughput = ratios(on.per_s.values, off.per_s.values)
    assert throughput is not None, "a side without a good answer is no side"
    backends = (on.postgres_cpu_ms, off.postgres_cpu_ms)
    more_ms = differences(on.p50_ms.values, off.p50_ms.values)
    price = _price(
        subject,
        status="not measurable",
        words="",
        on_side=on,
        off_side=off,
        throughput=throughput,
        p50=ratios(on.p50_ms.values, off.p50_ms.values),
        p99=ratios(on.p99_ms.values, off.p99_ms.values),
        p50_more_ms=more_ms,
        p99_more_ms=differences(on.p99_ms.values, off.p99_ms.values),
        engine_cpu=ratios(on.engine_cpu_ms.values, off.engine_cpu_ms.values),
        postgres_cpu=(
            ratios(backends[0].values, backends[1].values) if backends[0] and backends[1] else None
        ),
        cpu_more_ms=differences(_cpu_ms(on), _cpu_ms(off)),
    )
    return price.model_copy(update={"words": price_in_words(price), "status": priced_by(price)})


def _cpu_ms(side: Side) -> list[float]:
    """Of the engine, and of PostgreSQL where that is known."""
    engine = side.engine_cpu_ms.values
    backends = side.postgres_cpu_ms.values if side.postgres_cpu_ms else (0.0,) * len(engine)
    return [a + b for a, b in zip(engine, backends, strict=True)]


def _price(subject: Subject, **known: object) -> Price:
    facts = switches()[subject.switch]
    return Price.model_validate(
        {
            "name": subject.name,
            "switch": subject.switch,
            "on": subject.on,
            "off": subject.off,
            "variant": subject.off in facts.variants,
            "workload": subject.workload,
            "shown": SHOWN[subject.workload],
            "why": subject.why,
            **known,
        }
    )
