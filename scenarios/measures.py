"""Figures that are shown beside a verdict and judge nothing."""

from statistics import median

from attacks.history import SETUP, History
from reports.evidence import Measure
from scenarios.requirements import rounds_of

NAME = "from the first request's start to the last one's"


def release_spread(history: History) -> Measure:
    """How far apart the requests of one round started: what "at once" meant."""
    spreads = []
    for number in rounds_of(history):
        racers = [o for o in history.operations if o.round == number and o.actor != SETUP]
        starts = [operation.started_s for operation in racers]
        if starts:
            spreads.append(max(starts) - min(starts))
    if not spreads:
        return Measure(name=NAME, value="not measured")
    value = f"{median(spreads) * 1000:.1f} ms (median of {len(spreads)} rounds)"
    return Measure(name=NAME, value=value)
