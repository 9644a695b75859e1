"""Lines over time as plain values: where each point, tick and band stands, in percent.

The drawing is stretched to whatever room there is, so words stand beside it and not in it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 100
MOST_POINTS = 500
"""More than a screen has room for; of several seconds on one place the worst is shown."""
TICKS = 4
WIDE_SPREAD = 12
"""From so many times the smallest value on, a logarithmic scale shows more."""
Value = float | None
LEAST_BAND_PERCENT = 0.35


@dataclass(frozen=True, kw_only=True)
class Values:
    """One line to be drawn; None where nothing is known."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    name: str
    path: str
    """For SVG, in a box of 1000 by 100."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    at: float
    """Percent from the left, or from the bottom."""
    label: str


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From values to heights; `logarithmic` when they are spread so far that it is needed."""

    low: float
    high: float
    logarithmic: bool

    def percent(self, value: float) -> float:
        if self.logarithmic:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(max(100 * share, 0.0), 100.0)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        if self.logarithmic:
            powers = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
            marks = [10.0**power for power in powers]
        else:
            step = round_step(self.high / TICKS)
            marks = [step * number for number in range(math.floor(self.high / step + 1e-9) + 1)]
        return tuple(Tick(at=round(self.percent(mark), 2), label=f"{mark:,g}") for mark in marks)


@dataclass(frozen=True, kw_only=True)
class TimeAxis:
    """Seconds, from the first to the last that is shown."""

    first_s: float
    last_s: float

    def percent(self, at_s: float) -> float:
        span = self.last_s - self.first_s or 1.0
        return min(max(100 * (at_s - self.first_s) / span, 0.0), 100.0)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """At round seconds; 0 is where the warm-up was over."""
        step = round_step((self.last_s - self.first_s) / TICKS or 1.0)
        numbers = range(math.ceil(self.first_s / step), math.floor(self.last_s / step) + 1)
        return tuple(
            Tick(at=round(self.percent(step * n), 2), label=f"{step * n:,g} s") for n in numbers
        )


@dataclass(frozen=True, kw_only=True)
class Band:
    """A stretch of time, such as a fault."""

    left: float
    width: float
    text: str


def scale_of(lines: Sequence[Values], *, may_be_logarithmic: bool = False) -> Scale:
    """Room for every value; never empty."""
    known = [value for line in lines for value in line.values if value is not None]
    highest = max(known, default=0.0)
    positive = [value for value in known if value > 0]
    if may_be_logarithmic and positive and highest / min(positive) >= WIDE_SPREAD:
        low = 10.0 ** math.floor(math.log10(min(positive)))
        return Scale(low=low, high=10.0 ** math.ceil(math.log10(highest)), logarithmic=True)
    step = round_step(max(highest, 1.0) / TICKS)
    return Scale(low=0.0, high=step * math.ceil(max(highest, 1.0) / step), logarithmic=False)


def line_of(line: Values, at_s: Sequence[float], axis: TimeAxis, scale: Scale) -> Line:
    """A gap where nothing is known; what was before or after the axis is not drawn."""
    points: list[str] = []
    pen_up = True
    for moment_s, value in thinned(at_s, line.values):
        if value is None or not axis.first_s <= moment_s <= axis.last_s:
            pen_up = True
            continue
        x = axis.percent(moment_s) * WIDTH / 100
        y = HEIGHT - scale.percent(value) * HEIGHT / 100
        points.append(f"{'M' if pen_up else 'L'}{x:.1f} {y:.1f}")
        pen_up = False
    return Line(name=line.name, path="".join(points))


def thinned(
    at_s: Sequence[float], values: Sequence[Value], worst: Callable[[list[float]], float] = max
) -> list[tuple[float, Value]]:
    """At most `MOST_POINTS`, each the worst of those that it stands for."""
    together = math.ceil(len(at_s) / MOST_POINTS) or 1
    kept: list[tuple[float, Value]] = []
    for start in range(0, len(at_s), together):
        known = [value for value in values[start : start + together] if value is not None]
        kept.append((at_s[start], worst(known) if known else None))
    return kept


def band_of(from_s: float, to_s: float, text: str, axis: TimeAxis) -> Band:
    left = axis.percent(from_s)
    width = max(axis.percent(to_s) - left, LEAST_BAND_PERCENT)
    return Band(left=round(left, 2), width=round(width, 2), text=text)


def round_step(raw: float) -> float:
    """The next of 1, 2 or 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
