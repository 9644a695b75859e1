"""From 1 to 64 clients: where the throughput ends and the waiting begins.

    python -m benchmarks.clients [--quick]

One engine; every client has wallets of its own and sends when it has its answer. The numbers of
clients take turns, upwards and downwards.
"""

from collections.abc import Mapping

from attacks.http.pump import Pump
from benchmarks.figures import row, table
from benchmarks.paced import against, figures, pace_of, parser_for, print_conditions, run
from engine.defences import parse_build
from scenarios.pricing.site import Population, open_site
from scenarios.pricing.turns import in_turns, must_be_right, per_s, take_turns
from scenarios.pricing.workload import clients
from scenarios.stand import open_stand

COUNTS = (1, 2, 4, 8, 16, 32, 64)
WALLETS_A_CLIENT = 4
NEARLY = 0.9


def main() -> None:
    wanted = parser_for(__doc__, workers=1).parse_args()
    pace, build = pace_of(wanted), parse_build(wanted.build)
    most = max(COUNTS)
    population = Population(wallets=most * WALLETS_A_CLIENT)
    with (
        open_stand(wanted.stores) as stand,
        open_site(stand, build, population, workers=wanted.workers) as site,
        Pump() as pump,
    ):
        print_conditions(stand, pace, build.name, wanted.workers)
        pumped = site.pumped(clients(site.supply, "payments", most, pace.seed))
        order = in_turns(len(COUNTS), pace.pairs + 1)
        turns = [pace.turn(0, clients=COUNTS[which]) for which in order]
        took = take_turns(pump, [site], [pumped], turns, pace.seed)
        must_be_right(site, took)
        found = {
            count: [one for one, turn in zip(took, turns, strict=True) if turn.clients == count][1:]
            for count in COUNTS
        }
        table("clients", "payments/s", "p50, ms", "p99, ms", "engine CPU, ms", "to one client")
        for count, some in found.items():
            row(str(count), *figures(some, "transfer"), against(some, found[1]))
        print(conclusion({count: per_s(some).middle for count, some in found.items()}))


def conclusion(payments_per_s: Mapping[int, float]) -> str:
    """From how many clients on there is nearly nothing to be gained."""
    most = max(payments_per_s.values())
    enough = next(count for count, value in payments_per_s.items() if value >= NEARLY * most)
    return (
        f"Conclusion: {enough} clients get {payments_per_s[enough]:.0f} payments/s, at least "
        f"{NEARLY:.0%} of the most that any number got; with more it is the waiting that grows."
    )


if __name__ == "__main__":
    run(main)
