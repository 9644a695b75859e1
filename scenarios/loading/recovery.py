"""How deep the throughput fell after a fault, and when it was back. Pure.

Back is: in `STEADY_S` seconds in a row each has at least `BACK_SHARE` of the answers a second that
there were before the fault, at a p95 of at most `SLOWER` times the one before it. The seconds
begin where the fault ended, and then ever `STEP_S` later.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from scenarios.percentiles import percentile

BEFORE_S = 10
"""So much before the fault says what is usual; less where there is not so much."""
LEAST_BEFORE_S = 2.0
STEADY_S = 3
STEP_S = 0.1
BACK_SHARE = 0.9
SLOWER = 2.0


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was served, failures left out. Times are seconds since the warm-up was over."""

    ended_s: Sequence[float]
    """In order."""
    due_s: Sequence[float]
    """In order; failures too: a client waited for them."""
    took_ms: Sequence[float]
    """Of each that was due."""

    def per_s(self, from_s: float, to_s: float) -> float:
        served = bisect_left(self.ended_s, to_s) - bisect_left(self.ended_s, from_s)
        return served / (to_s - from_s)

    def p95_ms(self, from_s: float, to_s: float) -> float | None:
        """Of what was due then."""
        places = slice(bisect_left(self.due_s, from_s), bisect_left(self.due_s, to_s))
        took = sorted(self.took_ms[places])
        return percentile(took, 0.95) if took else None

    def silence_s(self, from_s: float, to_s: float) -> float:
        """The longest time without an answer."""
        places = slice(bisect_left(self.ended_s, from_s), bisect_left(self.ended_s, to_s))
        moments = (from_s, *self.ended_s[places], to_s)
        return max(after - before for before, after in pairwise(moments))


@dataclass(frozen=True, kw_only=True)
class Felt:
    """None: it cannot be said."""

    before_per_s: float | None = None
    lowest_per_s: float | None = None
    silent_s: float | None = None
    recovered_in_s: float | None = None


def felt(
    answers: Answers, *, at_s: float, until_s: float, ends_s: float, quiet_from_s: float = 0.0
) -> Felt:
    """What a fault from `at_s` to `until_s` did in a load that ended at `ends_s`.

    The fault before it was over at `quiet_from_s`.
    """
    first_s = max(at_s - BEFORE_S, quiet_from_s, 0.0)
    if at_s - first_s < LEAST_BEFORE_S:
        return Felt()
    usual_per_s = answers.per_s(first_s, at_s)
    usual_ms = answers.p95_ms(first_s, at_s)
    slowest_ms = math.inf if usual_ms is None else SLOWER * usual_ms
    back_s = _back(answers, until_s, ends_s, BACK_SHARE * usual_per_s, slowest_ms)
    last_s = ends_s if back_s is None else max(back_s, at_s + 1)
    each = [answers.per_s(s, s + 1) for s in _steps(at_s, last_s - 1)]
    return Felt(
        before_per_s=round(usual_per_s, 1),
        lowest_per_s=min(each) if each else None,
        silent_s=round(answers.silence_s(at_s, last_s), 3),
        recovered_in_s=None if back_s is None else round(back_s - until_s, 2),
    )


def _back(
    answers: Answers, until_s: float, ends_s: float, least_per_s: float, slowest_ms: float
) -> float | None:
    """When the first steady stretch begins."""

    def good(from_s: float) -> bool:
        if answers.per_s(from_s, from_s + 1) < least_per_s:
            return False
        p95_ms = answers.p95_ms(from_s, from_s + 1)
        return p95_ms is not None and p95_ms <= slowest_ms

    for start_s in _steps(until_s, ends_s - STEADY_S):
        if all(good(start_s + second) for second in range(STEADY_S)):
            return start_s
    return None


def _steps(from_s: float, to_s: float) -> list[float]:
    """From the one to the other, both included; empty when there is no way."""
    return [from_s + STEP_S * n for n in range(math.floor((to_s - from_s) / STEP_S + 1e-9) + 1)]
