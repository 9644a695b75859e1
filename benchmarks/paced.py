"""How long the load benchmarks measure, and what they print of the machine.

They share the driver, the sites and the statistics of `assay price`: slots in turns, medians with
the 99 % interval of the sign test, and books that are looked at afterwards.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from attacks.http.pump import PumpError
from engine.defences import DefenceError
from engine.process import EngineError
from engine.stores import StoreError
from reports.price import Spread
from reports.price_words import range_of, ratio_shown, shown
from reports.words import count
from scenarios.pricing.listing import processor
from scenarios.pricing.statistics import ratios
from scenarios.pricing.turns import NotMeasured, Pace, Took, engine_cpu_ms, latency, per_s
from scenarios.stand import Stand

PAIRS, SLOT_S, CLIENTS = 12, 2.0, 8
QUICK_PAIRS, QUICK_SLOT_S = 8, 0.6


def parser_for(docstring: str | None, *, workers: int | None = None) -> argparse.ArgumentParser:
    """`workers`: how many engine processes there are by default, where that may be chosen."""
    parser = argparse.ArgumentParser(description=(docstring or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short slots: for orientation only")
    parser.add_argument("--pairs", type=int, help="slots of each kind; fewer than 8 tell nothing")
    parser.add_argument("--slot-s", type=float)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--build", default="hardened")
    parser.add_argument("--stores", default="embedded", help="auto, external, container, embedded")
    parser.add_argument("--seed", type=int, default=1)
    if workers:
        parser.add_argument("--workers", type=int, default=workers, help="processes of the engine")
    return parser


def pace_of(wanted: argparse.Namespace) -> Pace:
    return Pace(
        pairs=wanted.pairs or (QUICK_PAIRS if wanted.quick else PAIRS),
        slot_s=wanted.slot_s or (QUICK_SLOT_S if wanted.quick else SLOT_S),
        clients=wanted.clients,
        seed=wanted.seed,
    )


def run(main: Callable[[], object]) -> NoReturn:
    """The benchmark, with one clear line for what cannot be measured or started."""
    try:
        sys.exit(main())  # type: ignore[arg-type]
    except (NotMeasured, PumpError, StoreError, EngineError, DefenceError) as error:
        sys.exit(f"not measured: {error}")


def print_conditions(stand: Stand, pace: Pace, build: str, workers: int = 1) -> None:
    print(
        f"{os.cpu_count()} x {processor()}, Python {platform.python_version()}, PostgreSQL "
        f"{stand.postgres.version}, Redis {stand.redis.version}, load {os.getloadavg()[0]:.1f}"
    )
    print(
        f"{build}, {count(workers, 'worker')}, {count(pace.clients, 'client')}, {pace.pairs} "
        f"slots of {pace.slot_s:g} s each, seed {pace.seed}"
    )
    print("Figures are medians with the 99 % interval of the sign test.", flush=True)


def figures(took: Sequence[Took], name: str) -> tuple[str, ...]:
    """Answers a second, p50, p99 and the engine's CPU, in milliseconds."""
    spreads = (per_s(took), latency(took, name, 0.5), latency(took, name, 0.99))
    return tuple(map(shown, (*spreads, engine_cpu_ms(took))))


def compared(what: str, ratio: Spread | None, base: str) -> str:
    """One line: which of them is faster, as far as the interval allows to say so."""
    if ratio is None or not ratio.differs_from(1):
        span = "" if ratio is None else f": x {range_of(ratio)}"
        return f"Conclusion: {what} and {base} cannot be told apart by these slots{span}."
    word = "faster" if ratio.middle > 1 else "slower"
    return f"Conclusion: {what} is {word} than {base}: x {shown(ratio)}."


def against(took: Sequence[Took], base: Sequence[Took]) -> str:
    """The ratio of the throughputs, pair by pair."""
    if took is base:
        return "1"
    return ratio_shown(ratios(per_s(took).values, per_s(base).values))
