"""Sides and lists with figures made up, for tests of what is said of them."""

from collections.abc import Sequence

from reports.price import Locking, Machine, Price, PriceList, Side, Strategy
from scenarios.pricing.locking_words import verdicts
from scenarios.pricing.measuring import compared
from scenarios.pricing.statistics import ratios, spread
from scenarios.pricing.subjects import Subject

IDEMPOTENCY = Subject(switch="idempotency", on="claim", off="off")


def side(per_s: Sequence[float], p50_ms: float = 20.0, cpu_ms: float = 4.0) -> Side:
    flat = spread([p50_ms + number / 100 for number in range(len(per_s))])
    return Side(
        build="hardened",
        good=int(sum(per_s)),
        per_s=spread(per_s),
        p50_ms=flat,
        p99_ms=flat,
        engine_cpu_ms=spread([cpu_ms] * len(per_s)),
    )


def dear() -> Price:
    """Nine per cent of the throughput, with little noise that hits both sides alike."""
    off = [200.0, 190, 210, 205, 195, 200, 180, 220]
    shares = (0.9, 0.91, 0.92, 0.91, 0.9, 0.92, 0.91, 0.91)
    on = [rate * share for rate, share in zip(off, shares, strict=True)]
    return compared(IDEMPOTENCY, side(on, 20.4), side(off, 20.0))


def noise() -> Price:
    return compared(
        IDEMPOTENCY, side([200.0, 190, 210, 205, 195, 200, 205, 195]), side([200.0] * 8)
    )


def unknown(words: str) -> Price:
    return dear().model_copy(
        update={"status": "unknown", "words": words, "on_side": None, "off_side": None}
        | dict.fromkeys(("throughput", "p50", "p99", "engine_cpu"))
    )


def strategy(locking: str, wallets: int, per_s: Sequence[float]) -> Strategy:
    some = spread([10.0])
    kinds = {"row": "pessimistic", "version": "optimistic", "conditional": "one statement"}
    return Strategy.model_validate(
        {
            "locking": locking,
            "kind": kinds[locking],
            "wallets": wallets,
            "build": f"hardened,locking={locking}",
            "per_s": spread(per_s),
            "to_row": ratios(per_s, [100.0] * len(per_s)),
            "conflicts": 10.1,
            "rolled_back": 3.0,
            "writer_p50_ms": some,
            "writer_p99_ms": some,
            "reader_p50_ms": some,
            "reader_p99_ms": some,
        }
    )


def price_list(*prices: Price, strategies: Sequence[Strategy] = ()) -> PriceList:
    locking = Locking(
        writers=8,
        readers=4,
        both="hardened",
        strategies=tuple(strategies),
        says=verdicts(strategies),
    )
    return PriceList(
        command="assay price --only <b>idempotency</b>",
        began="2026-01-02T03:04:05+00:00",
        lasted_s=1.0,
        commit="abc",
        machine=Machine(
            cores=2,
            processor="Some <i>CPU</i>",
            python="3.11",
            postgres="18.4",
            redis="6.2",
            load_before=0.5,
        ),
        stores="embedded",
        clients=8,
        pairs=6,
        slot_s=1.6,
        seed=1,
        prices=prices,
        not_priced={"errors": "only refusals differ"},
        locking=locking if strategies else None,
    )
