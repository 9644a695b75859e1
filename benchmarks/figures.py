"""How much the explorer's benchmarks measure, and how they print it."""

import dataclasses
import statistics
import sys
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """How much of everything."""

    repetitions: int
    permutation_repeats: int
    """How often a repetition runs the whole list of legal permutations."""
    replays: int
    blind_programs: int
    """How many of the programs isolationtester gets without their permutations: it takes long."""
    worker_repetitions: int
    calls: int
    """Round trips of a batch through the proxy."""


FULL = Wanted(
    repetitions=7,
    permutation_repeats=10,
    replays=100,
    blind_programs=2,
    worker_repetitions=5,
    calls=2000,
)
QUICK = Wanted(
    repetitions=3,
    permutation_repeats=3,
    replays=10,
    blind_programs=1,
    worker_repetitions=1,
    calls=300,
)


def table(*columns: str) -> None:
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}")


def row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |")
    sys.stdout.flush()


def spread(values: Sequence[float], digits: int = 0, unit: str = "") -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"
