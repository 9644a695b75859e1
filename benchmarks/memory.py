"""Does the engine's memory stay flat under load? `python -m benchmarks.memory --minutes 60`.

Payments and readings without a pause; every few seconds the resident memory of the engine and its
workers. The slope is the median of the slopes between all pairs of samples behind the first fifth,
with its 95 % interval (P. K. Sen, 1968, "Estimates of the regression coefficient based on Kendall's
tau"). Samples that follow each other are alike, so that the true interval is somewhat wider.
"""

import itertools
import math
import statistics
from collections.abc import Sequence

from attacks.http.pump import Pump, PumpPlan, Turn
from benchmarks.figures import row, table
from benchmarks.paced import pace_of, parser_for, print_conditions, run
from engine.defences import parse_build
from scenarios.pricing.site import Population, open_site
from scenarios.pricing.turns import NotMeasured, good
from scenarios.pricing.workload import meeting
from scenarios.stand import open_stand

MINUTES, QUICK_MINUTES = 5.0, 0.5
SAMPLES = 120
ROWS_SHOWN = 12
WALLETS = 200
WARM_SHARE = 0.2
FLAT_MB_AN_HOUR = 10.0
ENOUGH_MINUTES = 10.0
"""Before, the slope is that of pools and caches that fill."""


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--minutes", type=float)
    wanted = parser.parse_args()
    minutes = wanted.minutes or (QUICK_MINUTES if wanted.quick else MINUTES)
    pace, build = pace_of(wanted), parse_build(wanted.build)
    step_s = 60 * minutes / SAMPLES
    samples: list[tuple[float, float]] = []
    with (
        open_stand(wanted.stores) as stand,
        open_site(stand, build, Population(wallets=WALLETS)) as site,
        Pump() as pump,
    ):
        print_conditions(stand, pace, build.name)

        def look(what: str, number: int) -> None:
            if what == "measured":
                samples.append(((number + 1) * step_s / 3600, site.memory_mb()))

        crowd = meeting(site.supply, pace.clients, max(1, pace.clients // 4), pace.seed)
        turns = (Turn(site=0, warm_s=0.0, measure_s=step_s),) * SAMPLES
        plan = PumpPlan(sites=(site.pumped(crowd),), turns=turns, seed=pace.seed)
        slots = pump.run(plan, look)
        wrong = next((slot.first_wrong for slot in slots if slot.wrong), "") or site.wrong_books()
        if wrong:
            raise NotMeasured(wrong)
    table("minutes", "resident, MB", "answers so far")
    answered = list(itertools.accumulate(good(slot) for slot in slots))
    for number in range(0, SAMPLES, SAMPLES // ROWS_SHOWN):
        hours, resident_mb = samples[number]
        row(f"{60 * hours:.1f}", f"{resident_mb:.1f}", f"{answered[number]:,}")
    middle, low, high = slope(samples[int(SAMPLES * WARM_SHARE) :])
    print(f"slope: {middle:.2f} MB an hour ({low:.2f} to {high:.2f}), over {minutes:g} minutes")
    if minutes < ENOUGH_MINUTES:
        print(f"less than {ENOUGH_MINUTES:g} minutes are too short to call it flat or not")
        return 0
    return 0 if high <= FLAT_MB_AN_HOUR else 1


def slope(samples: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """The median slope and the bounds of its 95 % interval."""
    slopes = sorted(
        (later - earlier) / (end - begin)
        for (begin, earlier), (end, later) in itertools.combinations(samples, 2)
    )
    count = len(samples)
    half_width = 1.96 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18) / 2
    place = (len(slopes) - 1) / 2
    low = slopes[max(0, math.floor(place - half_width))]
    high = slopes[min(len(slopes) - 1, math.ceil(place + half_width))]
    return statistics.median(slopes), low, high


if __name__ == "__main__":
    run(main)
