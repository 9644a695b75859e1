"""Who is told how a load goes, while it goes."""

from collections.abc import Callable
from dataclasses import dataclass

from scenarios.loading.figures import Recent


@dataclass(frozen=True, kw_only=True)
class Moment:
    """About once a second."""

    build: str
    at_s: float
    """Since the warm-up was over; negative during it."""
    duration_s: float
    recent: Recent
    payments: int
    violations: tuple[str, ...] | None
    """None: the invariants have not been judged yet."""
    checked: int
    broken: tuple[str, ...]
    """The faults that are felt now."""


@dataclass(frozen=True, kw_only=True)
class LoadWatcher:
    tell: Callable[[str], None] = lambda _: None
    moment: Callable[[Moment], None] = lambda _: None
