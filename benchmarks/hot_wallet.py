"""What it costs when everybody pays to one wallet: `python -m benchmarks.hot_wallet [--quick]`.

One engine, 1,000 wallets whose owners pay; in one kind of slot to each other, in the other all to
the same wallet. Both kinds take turns on the same engine.
"""

from attacks.http.pump import Pump
from benchmarks.figures import row, table
from benchmarks.paced import against, compared, figures, pace_of, parser_for, print_conditions, run
from engine.defences import parse_build
from scenarios.pricing.site import Population, open_site
from scenarios.pricing.statistics import ratios
from scenarios.pricing.turns import by_site, in_turns, must_be_right, per_s, take_turns
from scenarios.pricing.workload import meeting
from scenarios.stand import open_stand

WALLETS = 1000


def main() -> None:
    wanted = parser_for(__doc__, workers=1).parse_args()
    pace, build = pace_of(wanted), parse_build(wanted.build)
    population = Population(wallets=WALLETS)
    with (
        open_stand(wanted.stores) as stand,
        open_site(stand, build, population, workers=wanted.workers) as site,
        Pump() as pump,
    ):
        print_conditions(stand, pace, build.name, wanted.workers)
        hot = site.supply.purses[0]
        kinds = {
            "uniform": site.pumped(meeting(site.supply, pace.clients, 0, pace.seed)),
            "one hot payee": site.pumped(meeting(site.supply, pace.clients, 0, pace.seed, hot=hot)),
        }
        turns = [pace.turn(kind) for kind in in_turns(len(kinds), pace.pairs + 1)]
        took = take_turns(pump, [site] * len(kinds), list(kinds.values()), turns, pace.seed)
        must_be_right(site, took, refusals=True)
        found = {kind: by_site(took)[number][1:] for number, kind in enumerate(kinds)}
        table(
            "payments", "a second", "p50, ms", "p99, ms", "engine CPU, ms", "refused", "to uniform"
        )
        for kind, some in found.items():
            refused = sum(sum(one.slot.refused.values()) for one in some)
            row(kind, *figures(some, "transfer"), str(refused), against(some, found["uniform"]))
        hot_wallet, uniform = (per_s(found[kind]).values for kind in ("one hot payee", "uniform"))
        print(compared("one hot payee", ratios(hot_wallet, uniform), "uniform"))


if __name__ == "__main__":
    run(main)
