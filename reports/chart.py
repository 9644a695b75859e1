"""Where the bars of a timeline stand: a lane for each actor, percentages of the time shown."""

import math
from dataclasses import dataclass, replace

from reports.timeline import Row, Timeline

TICKS = 5
NARROWEST_PERCENT = 0.6
NUMBER_PERCENT = 2.5
NUMBERED_ROWS = 24


@dataclass(frozen=True, kw_only=True)
class Bar:
    row: Row
    left: float
    width: float
    level: int
    """Which of the lane's levels: an actor with two requests open at once needs two."""
    numbered: bool


@dataclass(frozen=True, kw_only=True)
class Lane:
    actor: str
    bars: tuple[Bar, ...]

    @property
    def levels(self) -> int:
        return max((bar.level for bar in self.bars), default=0) + 1


@dataclass(frozen=True, kw_only=True)
class Tick:
    left: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    lanes: tuple[Lane, ...]
    events: tuple[Bar, ...]
    ticks: tuple[Tick, ...]


def lay_out_chart(timeline: Timeline) -> Chart:
    span = timeline.span_ms or 1.0
    crowded = len(timeline.rows) > NUMBERED_ROWS
    lanes = tuple(_lane(timeline, actor, span, crowded) for actor in timeline.actors)
    events = tuple(_bar(row, span, level=0, numbered=True) for row in timeline.rows if row.is_event)
    return Chart(lanes=lanes, events=events, ticks=_ticks(span))


def _lane(timeline: Timeline, actor: str, span: float, crowded: bool) -> Lane:
    bars: list[Bar] = []
    free_from: list[float] = []
    for row in timeline.rows:
        if row.is_event or row.actor != actor:
            continue
        level = next((n for n, free in enumerate(free_from) if free <= row.at_ms), len(free_from))
        end = row.at_ms if row.until_ms is None else row.until_ms
        free_from[level : level + 1] = [end]
        bars.append(_bar(row, span, level=level, numbered=row.culprit or not crowded))
    return Lane(actor=actor, bars=_with_room_for_numbers(bars))


def _bar(row: Row, span: float, *, level: int, numbered: bool) -> Bar:
    left = 100 * row.at_ms / span
    # An operation that never ended stays open until the end of the chart.
    end = 100.0 if row.until_ms is None and not row.is_event else 100 * (row.until_ms or 0) / span
    width = min(max(end - left, NARROWEST_PERCENT), 100.0)
    left = max(min(left, 100 - width), 0.0)
    return Bar(row=row, left=left, width=width, level=level, numbered=numbered)


def _with_room_for_numbers(bars: list[Bar]) -> tuple[Bar, ...]:
    """Numbers need room: a bar too narrow for its own goes without, unless it is the culprit."""
    return tuple(
        replace(bar, numbered=bar.numbered and (bar.row.culprit or bar.width >= NUMBER_PERCENT))
        for bar in bars
    )


def _ticks(span: float) -> tuple[Tick, ...]:
    step = _round_step(span / TICKS)
    marks = [step * number for number in range(math.floor(span / step) + 1)]
    digits = max(0, -math.floor(math.log10(step)))
    return tuple(Tick(left=100 * at / span, label=f"{at:,.{digits}f}") for at in marks)


def _round_step(raw: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
