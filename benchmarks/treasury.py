"""One system wallet against sixteen, under deposits: `python -m benchmarks.treasury [--quick]`."""

from benchmarks.figures import row, table
from benchmarks.paced import compared, pace_of, parser_for, print_conditions, run
from reports.price import Spread
from reports.price_words import ratio_shown, shown
from scenarios.pricing.measuring import measure
from scenarios.pricing.subjects import subjects
from scenarios.stand import open_stand

CLIENTS = (1, 8, 16)


def main() -> None:
    wanted = parser_for(__doc__).parse_args()
    (subject,) = subjects(("treasury",))
    with open_stand(wanted.stores) as stand:
        print_conditions(stand, pace_of(wanted), f"{subject.builds[0].name} and {subject.off}")
        table("clients", "sharded, deposits/s", "single", "sharded / single", "p50", "p99")
        last: Spread | None = None
        for clients in CLIENTS:
            wanted.clients = clients
            price = measure(stand, subject, pace_of(wanted))
            if price.on_side is None or price.off_side is None:
                raise SystemExit(price.words)
            sides = (shown(price.on_side.per_s), shown(price.off_side.per_s))
            ratios = (price.throughput, price.p50, price.p99)
            row(str(clients), *sides, *map(ratio_shown, ratios))
            last = price.throughput
        print(compared(f"sharded at {CLIENTS[-1]} clients", last, "single"))


if __name__ == "__main__":
    run(main)
