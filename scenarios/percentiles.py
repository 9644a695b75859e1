"""Percentiles of what was measured, by nearest rank. Pure."""

from collections.abc import Sequence
from math import ceil


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed; IndexError without values."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
