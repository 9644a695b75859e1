"""What two sides that took turns say of each other.

The machine is not quiet, so nothing is compared but neighbours: each pair of slots gives a ratio.
Shown is the median of the ratios with the interval that holds the true median with at least 99 %,
by the sign test: between the k-th smallest and the k-th largest of n, where fewer than k of n
tosses of a coin come up heads in at most 0.5 % of all cases (W. J. Conover, Practical Nonparametric
Statistics, chapter 3). It assumes nothing of how ratios are distributed. With fewer than eight
pairs no interval is that sure: then the whole range is shown, and nothing counts as measured.
"""

import math
import statistics
from collections.abc import Sequence

from reports.price import SURE, Spread


def spread(values: Sequence[float]) -> Spread:
    """With six digits, more than any of them is good for. Raises ValueError without any."""
    if not values:
        raise ValueError("there is nothing to take a median of")
    values = [float(f"{value:.6g}") for value in values]
    ordered = sorted(values)
    rank = interval_rank(len(ordered))
    return Spread(
        middle=statistics.median(ordered),
        low=ordered[rank - 1],
        high=ordered[-rank],
        lowest=ordered[0],
        highest=ordered[-1],
        sure=1 - 2 * _fewer_heads(rank, len(ordered)),
        values=tuple(values),
    )


def interval_rank(pairs: int) -> int:
    """Which smallest and which largest bound the median; the first where none is sure enough."""
    rank = 1
    while 1 - 2 * _fewer_heads(rank + 1, pairs) >= SURE:
        rank += 1
    return rank


def _fewer_heads(rank: int, tosses: int) -> float:
    """How probable fewer than `rank` heads are."""
    return float(sum(math.comb(tosses, heads) for heads in range(rank)) / 2**tosses)


def ratios(on: Sequence[float], off: Sequence[float]) -> Spread | None:
    """Of each pair; None where a side was zero or is not known."""
    if not on or len(on) != len(off) or min(*on, *off) <= 0:
        return None
    return spread([a / b for a, b in zip(on, off, strict=True)])


def differences(on: Sequence[float], off: Sequence[float]) -> Spread | None:
    if not on or len(on) != len(off):
        return None
    return spread([a - b for a, b in zip(on, off, strict=True)])
