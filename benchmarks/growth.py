"""Does a payment stay as cheap when there is much? `python -m benchmarks.growth [--quick]`.

10^3 to 10^6 wallets, then up to 10^7 rows in the ledger beside a million wallets, with the
transactions and the idempotency keys that belong to them. Filled by SQL with every constraint,
index and trigger in place; what payments touch is in memory. Each size takes turns with a service
of 1,000 wallets and no history, so that the curve is one of ratios and the machine's noise falls
out of it. The payers are spread over all wallets.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from attacks.http.pump import Pump
from benchmarks.figures import row, table
from benchmarks.paced import against, figures, pace_of, parser_for, print_conditions, run
from engine.defences import Build, parse_build
from reports.price import SURE, Spread
from reports.price_words import range_of, ratio_shown, shown
from scenarios.pricing.filling import AT_ONCE, Connection, Filled, fill_history
from scenarios.pricing.site import HOUSEKEEPING, Population, Site, open_site
from scenarios.pricing.statistics import ratios
from scenarios.pricing.turns import (
    Pace,
    Took,
    by_site,
    good,
    in_turns,
    must_be_right,
    take_turns,
)
from scenarios.pricing.workload import clients
from scenarios.stand import Stand, open_stand

WALLETS = (1_000, 10_000, 100_000, 1_000_000)
LEDGER_ROWS = (100_000, 1_000_000, 10_000_000)
QUICK_WALLETS = (1_000, 10_000, 100_000)
QUICK_ROWS = (100_000, 500_000)
ACTING = 4096
LEGS = 2
FLAT_TO = 1.25


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--wallets", type=int, nargs="+", help="sizes, the smallest first")
    parser.add_argument("--rows", type=int, nargs="*", help="of the ledger, the fewest first")
    parser.add_argument("--fill-within-s", type=float, default=1800.0, help="of each step")
    wanted = parser.parse_args()
    wallets = wanted.wallets or (QUICK_WALLETS if wanted.quick else WALLETS)
    rows = (QUICK_ROWS if wanted.quick else LEDGER_ROWS) if wanted.rows is None else wanted.rows
    pace, build = pace_of(wanted), parse_build(wanted.build)
    with (
        open_stand(wanted.stores) as stand,
        open_site(stand, build, Population(wallets=WALLETS[0])) as reference,
    ):
        print_conditions(stand, pace, build.name)
        columns = ("payments/s", "p50, ms", "p99, ms", "engine CPU, ms")
        table(
            "wallets",
            "ledger rows",
            "filled in, s",
            *columns,
            "to 1,000 wallets",
            "CPU with PostgreSQL's",
        )
        curve: list[tuple[str, Spread | None]] = []
        for count, ledger, took_s, site in _sizes(
            stand, build, wallets, rows, wanted.fill_within_s
        ):
            small, large = _in_turns(reference, site, pace)
            cells = (*figures(large, "transfer"), against(large, small))
            cpu = ratios(_cpu_ms(large), _cpu_ms(small))
            row(f"{count:,}", f"{ledger:,}", f"{took_s:.1f}", *cells, ratio_shown(cpu))
            curve.append((f"{count:,} wallets, {ledger:,} ledger rows", cpu))
        print(verdict(curve))


def _cpu_ms(took: Sequence[Took]) -> list[float]:
    """Of the engine and of PostgreSQL's backends, for one payment."""
    return [1000 * (one.engine_s + (one.backends_s or 0.0)) / good(one.slot) for one in took]


def verdict(curve: Sequence[tuple[str, Spread | None]]) -> str:
    """By CPU, of engine and PostgreSQL, which other work on the machine hardly changes."""
    name, largest = curve[-1]
    unsure = largest is None or largest.sure < SURE
    if largest is None or unsure or largest.low < FLAT_TO < largest.high:
        span = "" if largest is None else f" (x {range_of(largest)})"
        return f"Conclusion: whether a payment stays as cheap at {name} is not measurable{span}."
    word = "stays flat" if largest.high <= FLAT_TO else "grows"
    return (
        f"Conclusion: the CPU for a payment (engine and PostgreSQL) {word}: x {shown(largest)} at "
        f"{name} against 1,000 wallets; up to x {FLAT_TO} counts as flat."
    )


def _sizes(
    stand: Stand,
    build: Build,
    wallets: tuple[int, ...],
    rows: tuple[int, ...],
    fill_within_s: float,
) -> Iterator[tuple[int, int, float, Site]]:
    """Wallets, ledger rows, how long filling took, and the service, which stays only for a step."""
    filled: list[Filled] = []

    def note(_: Connection, made: Filled) -> None:
        filled.append(made)

    for count in wallets:
        with ExitStack() as opened:
            began_s = time.monotonic()
            population = Population(wallets=count, acting=min(count, ACTING), then=note)
            site = opened.enter_context(open_site(stand, build, population))
            yield count, 0, time.monotonic() - began_s, site
            done = 0
            for wanted in rows if count == max(wallets) else ():
                began_s = time.monotonic()
                done = _fill(site, filled[-1], done, wanted, began_s + fill_within_s)
                yield count, done, time.monotonic() - began_s, site
                if done < wanted:
                    print(
                        f"{wanted:,} rows are not filled within {fill_within_s:g} s: it ends here"
                    )
                    return


def _fill(site: Site, filled: Filled, done: int, wanted: int, deadline_s: float) -> int:
    """How many rows the ledger has now; fewer than wanted when the deadline came."""
    while done < wanted and time.monotonic() < deadline_s:
        transfers = min(AT_ONCE, (wanted - done) // LEGS)
        fill_history(site.side, filled, first=done // LEGS + 1, transfers=transfers)
        done += LEGS * transfers
    with site.side.cursor() as cursor:
        cursor.execute(HOUSEKEEPING)
    return done


def _in_turns(small: Site, large: Site, pace: Pace) -> tuple[list[Took], list[Took]]:
    sites = (small, large)
    with Pump() as pump:
        pumped = [
            site.pumped(clients(site.supply, "payments", pace.clients, pace.seed)) for site in sites
        ]
        turns = [pace.turn(site) for site in in_turns(2, pace.pairs + 1)]
        took = by_site(take_turns(pump, sites, pumped, turns, pace.seed))
    for number, site in enumerate(sites):
        must_be_right(site, took[number])
    return took[0][1:], took[1][1:]


if __name__ == "__main__":
    run(main)
