"""The timeline of a cell as plain values: rows in the order of time, long middles folded.

Times are milliseconds since the first moment that the timeline holds. The terminal, the Markdown
summary and the page all draw from this one layout.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reports.evidence import Moment

ROWS_SHOWN = 24
KEPT_AT_START = 6
KEPT_AT_END = 4
KEPT_AROUND_CULPRIT = 2
CULPRITS_KEPT = 6
SMALLEST_GAP = 3

Outcome = Literal["ok", "failed", "unknown", "event"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One operation, or one event that concerns every actor."""

    number: int
    at_ms: float
    until_ms: float | None
    actor: str
    text: str
    answer: str
    outcome: Outcome
    culprit: bool
    overlaps: tuple[int, ...] = ()
    """Numbers of the operations that were open at the same time."""

    @property
    def is_event(self) -> bool:
        return self.outcome == "event"

    @property
    def took_ms(self) -> float | None:
        return None if self.until_ms is None else self.until_ms - self.at_ms


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Rows that are folded away."""

    rows: tuple[Row, ...]

    @property
    def at_ms(self) -> float:
        return self.rows[0].at_ms

    @property
    def text(self) -> str:
        """What is folded, e.g. "31 more: 28 ok, 3 failed"."""
        outcomes = Counter(row.outcome for row in self.rows)
        parts = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
        return f"{len(self.rows)} more: {parts}"


@dataclass(frozen=True, kw_only=True)
class Timeline:
    actors: tuple[str, ...]
    """Who made requests, in the order of their first; the actors of events are not among them."""
    entries: tuple[Row | Gap, ...]
    rows: tuple[Row, ...]
    """All rows, also the folded ones."""
    span_ms: float


def lay_out(moments: Sequence[Moment], *, shown: int = ROWS_SHOWN) -> Timeline:
    ordered = sorted(moments, key=lambda moment: moment.at_s)
    origin = ordered[0].at_s if ordered else 0.0
    rows = _with_overlaps([_row(n, m, origin) for n, m in enumerate(ordered, start=1)])
    actors = tuple(dict.fromkeys(row.actor for row in rows if not row.is_event))
    span = max((_end(row) for row in rows), default=0.0)
    return Timeline(actors=actors, entries=_fold(rows, shown), rows=rows, span_ms=span)


def _row(number: int, moment: Moment, origin_s: float) -> Row:
    until = None if moment.until_s is None else max(moment.until_s, moment.at_s)
    return Row(
        number=number,
        at_ms=(moment.at_s - origin_s) * 1000,
        until_ms=None if until is None else (until - origin_s) * 1000,
        actor=moment.actor,
        text=moment.text,
        answer=moment.answer,
        outcome=moment.outcome,
        culprit=moment.culprit,
    )


def _end(row: Row) -> float:
    return row.at_ms if row.until_ms is None else row.until_ms


def _with_overlaps(rows: list[Row]) -> tuple[Row, ...]:
    operations = [row for row in rows if not row.is_event]
    return tuple(
        replace(row, overlaps=_overlapping(row, operations)) if row.culprit else row for row in rows
    )


def _overlapping(row: Row, operations: Iterable[Row]) -> tuple[int, ...]:
    return tuple(
        other.number
        for other in operations
        if other.number != row.number and other.at_ms < _end(row) and row.at_ms < _end(other)
    )


def _fold(rows: tuple[Row, ...], shown: int) -> tuple[Row | Gap, ...]:
    if len(rows) <= shown:
        return rows
    kept = _kept(rows)
    entries: list[Row | Gap] = []
    folded: list[Row] = []
    for index, row in enumerate(rows):
        if index not in kept:
            folded.append(row)
            continue
        entries += _gap(folded)
        folded = []
        entries.append(row)
    return tuple(entries + _gap(folded))


def _gap(folded: list[Row]) -> list[Row | Gap]:
    # Folding one or two rows would hide something and save nothing.
    return list(folded) if len(folded) < SMALLEST_GAP else [Gap(rows=tuple(folded))]


def _kept(rows: tuple[Row, ...]) -> set[int]:
    last = len(rows) - 1
    kept = {*range(KEPT_AT_START), *range(last - KEPT_AT_END + 1, last + 1)}
    culprits = [index for index, row in enumerate(rows) if row.culprit][:CULPRITS_KEPT]
    for index in culprits:
        kept |= set(range(index - KEPT_AROUND_CULPRIT, index + KEPT_AROUND_CULPRIT + 1))
    return kept | {index for index, row in enumerate(rows) if row.is_event}
