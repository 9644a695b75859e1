"""How deep the throughput fell after a fault, and when it was back. Pure.

Back is: for `STEADY_S` whole seconds in a row at least `BACK_SHARE` of the requests a second that
were answered before the fault, at a p95 of at most `SLOWER` times the one before it. Whole seconds
are what there is: a recovery is known to one second.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from reports.load import Series

BEFORE_S = 10
"""So many seconds before the fault say what is usual; fewer where there are not so many."""
LEAST_BEFORE_S = 2
STEADY_S = 3
BACK_SHARE = 0.9
SLOWER = 2.0


@dataclass(frozen=True, kw_only=True)
class Felt:
    """None: it cannot be said."""

    before_per_s: float | None = None
    lowest_per_s: float | None = None
    recovered_in_s: float | None = None


def felt(series: Series, *, at_s: float, until_s: float, quiet_from_s: float = -math.inf) -> Felt:
    """What a fault from `at_s` to `until_s` did; the one before it was over
    at `quiet_from_s`.
    """
    # The last second is rarely a whole one.
    seconds = {int(at): place for place, at in enumerate(series.at_s[:-1])}
    first = max(math.floor(at_s) - BEFORE_S, math.ceil(quiet_from_s), 0)
    before = [seconds[s] for s in range(first, math.floor(at_s)) if s in seconds]
    if len(before) < LEAST_BEFORE_S:
        return Felt()
    usual_per_s = mean(series.answered[place] for place in before)
    slowest_ms = [ms for place in before if (ms := series.p95_ms[place]) is not None]
    usual_ms = median(slowest_ms) if slowest_ms else math.inf
    back = _back(series, seconds, math.floor(until_s), usual_per_s, SLOWER * usual_ms)
    last = max(seconds) if back is None else back
    during = [
        series.answered[seconds[s]] for s in range(math.floor(at_s), last + 1) if s in seconds
    ]
    return Felt(
        before_per_s=round(usual_per_s, 1),
        lowest_per_s=float(min(during)) if during else None,
        recovered_in_s=None if back is None else round(max(0.0, back - until_s), 2),
    )


def _back(
    series: Series, seconds: dict[int, int], first: int, usual_per_s: float, slowest_ms: float
) -> int | None:
    """The first second of the first steady stretch."""
    steady = 0
    for second in range(first, max(seconds) + 1):
        place = seconds[second]
        enough = series.answered[place] >= BACK_SHARE * usual_per_s
        steady = steady + 1 if enough and _fast(series.p95_ms, place, slowest_ms) else 0
        if steady == STEADY_S:
            return second - STEADY_S + 1
    return None


def _fast(p95_ms: Sequence[float | None], place: int, slowest_ms: float) -> bool:
    ms = p95_ms[place]
    return ms is None or ms <= slowest_ms
