"""How deep the throughput fell after a fault, and when it was back. Pure.

Back is: in `STEADY_S` seconds in a row each has at least `BACK_SHARE` of the answers that are
usual, at a p95 of at most `SLOWER` times the usual one. The seconds begin where the fault ended,
and then ever `STEP_S` later. What is usual was seen before the fault: of a load that follows a
profile the answers for each request that was due, else the answers a second.
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
    paced: bool = False
    """The requests were due by a profile, however slow the answers were."""

    def per_s(self, from_s: float, to_s: float) -> float:
        served = bisect_left(self.ended_s, to_s) - bisect_left(self.ended_s, from_s)
        return served / (to_s - from_s)

    def p95_ms(self, from_s: float, to_s: float) -> float | None:
        """Of what was due then."""
        places = slice(bisect_left(self.due_s, from_s), bisect_left(self.due_s, to_s))
        took = sorted(self.took_ms[places])
        return percentile(took, 0.95) if took else None

    def due_per_s(self, from_s: float, to_s: float) -> float:
        due = bisect_left(self.due_s, to_s) - bisect_left(self.due_s, from_s)
        return due / (to_s - from_s)

    def silence_s(self, from_s: float, to_s: float) -> float:
        """The longest time without an answer."""
        places = slice(bisect_left(self.ended_s, from_s), bisect_left(self.ended_s, to_s))
        moments = (from_s, *self.ended_s[places], to_s)
        return max(after - before for before, after in pairwise(moments))


@dataclass(frozen=True, kw_only=True)
class Usual:
    """How a service answers that nothing ails."""

    per_s: float
    per_due: float
    """Answers for each request that was due."""
    p95_ms: float | None

    def is_back(self, answers: Answers, from_s: float) -> bool:
        """In that second."""
        to_s = from_s + 1
        expected = self.per_due * answers.due_per_s(from_s, to_s) if answers.paced else self.per_s
        if answers.per_s(from_s, to_s) < BACK_SHARE * expected:
            return False
        p95_ms = answers.p95_ms(from_s, to_s)
        return p95_ms is not None and (self.p95_ms is None or p95_ms <= SLOWER * self.p95_ms)


@dataclass(frozen=True, kw_only=True)
class Felt:
    """`recovered_in_s` is None: it was not back before the end."""

    before_per_s: float
    lowest_per_s: float | None
    silent_s: float
    recovered_in_s: float | None


def usual_before(answers: Answers, at_s: float, *, quiet_from_s: float = 0.0) -> Usual | None:
    """Since all earlier faults were over, at `quiet_from_s`; None: that is too short a time."""
    first_s = max(at_s - BEFORE_S, quiet_from_s, 0.0)
    if at_s - first_s < LEAST_BEFORE_S:
        return None
    per_s, due_per_s = answers.per_s(first_s, at_s), answers.due_per_s(first_s, at_s)
    return Usual(
        per_s=per_s,
        per_due=per_s / due_per_s if due_per_s else 0.0,
        p95_ms=answers.p95_ms(first_s, at_s),
    )


def felt(answers: Answers, usual: Usual, *, at_s: float, until_s: float, ends_s: float) -> Felt:
    """What a fault from `at_s` to `until_s` did in a load that ended at `ends_s`."""
    later = _steps(until_s, ends_s - STEADY_S)
    back_s = next((start_s for start_s in later if _is_steady(answers, usual, start_s)), None)
    last_s = ends_s if back_s is None else max(back_s, at_s + 1)
    each = [answers.per_s(s, s + 1) for s in _steps(at_s, last_s - 1)]
    return Felt(
        before_per_s=round(usual.per_s, 1),
        lowest_per_s=min(each) if each else None,
        silent_s=round(answers.silence_s(at_s, last_s), 3),
        recovered_in_s=None if back_s is None else round(back_s - until_s, 2),
    )


def _is_steady(answers: Answers, usual: Usual, start_s: float) -> bool:
    return all(usual.is_back(answers, start_s + second) for second in range(STEADY_S))


def _steps(from_s: float, to_s: float) -> list[float]:
    """From the one to the other, both included; empty when there is no way."""
    return [from_s + STEP_S * n for n in range(math.floor((to_s - from_s) / STEP_S + 1e-9) + 1)]
