"""A timeline as lines of plain text: columns for two or three actors, a list for more.

In columns every wait between question and answer is drawn, so that an overlap is seen.
"""

from dataclasses import dataclass

from reports.timeline import Gap, Row, Timeline
from reports.words import milliseconds

INDENT = 10
MARGIN = " " * INDENT
COLUMNS_AT_MOST = 3
CULPRIT = "▶"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A line of the drawing: an operation begins, ends, or does both with nothing between."""

    at_ms: float
    entry: Row | Gap
    begins: bool
    ends: bool


def drawing(timeline: Timeline, shown_round: int | None, width: int = 100) -> list[str]:
    """The timeline alone; empty when there is nothing to draw."""
    if not timeline.rows:
        return []
    title = "times in ms" if shown_round is None else f"round {shown_round}, times in ms"
    as_columns = 0 < len(timeline.actors) <= COLUMNS_AT_MOST
    body = _columns(timeline, width) if as_columns else _list(timeline, width)
    legend = [f"{MARGIN}{CULPRIT} what cannot be"] if any(r.culprit for r in timeline.rows) else []
    return [f"{MARGIN}{title}", *(line.rstrip() for line in body), *legend]


def _columns(timeline: Timeline, width: int) -> list[str]:
    column = (width - INDENT) // len(timeline.actors) - 2
    heads = "".join(f"{_fit(actor, column):<{column + 2}}" for actor in timeline.actors)
    lines = [f"{MARGIN}{heads}"]
    for mark in _marks(timeline, column):
        if isinstance(mark.entry, Gap) or mark.entry.is_event:
            lines.append(_across(mark.entry, width))
        else:
            lead = " " * ((column + 2) * timeline.actors.index(mark.entry.actor))
            lines.append(f"{_time(mark)}{lead}{_operation(mark, mark.entry, column)}")
    return lines


def _marks(timeline: Timeline, column: int) -> list[Mark]:
    marks = []
    for entry in timeline.entries:
        whole = isinstance(entry, Gap) or entry.is_event or entry.until_ms is None
        marks.append(Mark(at_ms=entry.at_ms, entry=entry, begins=True, ends=whole))
        if isinstance(entry, Row) and not whole and entry.until_ms is not None:
            marks.append(Mark(at_ms=entry.until_ms, entry=entry, begins=False, ends=True))
    marks.sort(key=lambda mark: mark.at_ms)
    return _joined(marks, column)


def _joined(marks: list[Mark], column: int) -> list[Mark]:
    """Nothing came between question and answer: one line says both, if it has the room."""
    joined: list[Mark] = []
    for mark in marks:
        before = joined[-1] if joined else None
        if before is None or before.entry is not mark.entry or not _fits(mark.entry, column):
            joined.append(mark)
        else:
            joined[-1] = Mark(at_ms=before.at_ms, entry=mark.entry, begins=True, ends=True)
    return joined


def _fits(entry: Row | Gap, column: int) -> bool:
    return isinstance(entry, Gap) or len(entry.text) + len(entry.answer) + 2 <= column


def _operation(mark: Mark, row: Row, column: int) -> str:
    text = row.text if mark.begins else "└"
    if not mark.ends:
        return _fit(text, column)
    answer = _fit(row.answer or _outcome(row), column - 2)
    room = column - len(answer)
    return f"{_fit(text, room - 1):<{room}}{answer}"


def _outcome(row: Row) -> str:
    return "" if row.is_event else row.outcome


def _list(timeline: Timeline, width: int) -> list[str]:
    actors = max((len(actor) for actor in timeline.actors), default=0)
    actor_width = min(actors, 14) + 2
    lines = []
    for entry in timeline.entries:
        if isinstance(entry, Gap) or entry.is_event:
            lines.append(_across(entry, width))
            continue
        mark = Mark(at_ms=entry.at_ms, entry=entry, begins=True, ends=True)
        who = f"{_fit(entry.actor, actor_width - 2):<{actor_width}}"
        rest = _operation(mark, entry, width - INDENT - actor_width)
        lines.append(f"{_time(mark)}{who}{rest}")
    return lines


def _time(mark: Mark) -> str:
    culprit = isinstance(mark.entry, Row) and mark.entry.culprit and mark.ends
    time = milliseconds(mark.at_ms)
    return f"{CULPRIT if culprit else ' '}{time:>{INDENT - 3}}  "


def _across(entry: Row | Gap, width: int) -> str:
    if isinstance(entry, Gap):
        return f"{'…':>{INDENT - 2}}  {entry.text}"
    mark = Mark(at_ms=entry.at_ms, entry=entry, begins=True, ends=True)
    text = _fit(f"── {_event_text(entry)} ", width - INDENT)
    return f"{_time(mark)}{text.ljust(width - INDENT, '─')}"


def _event_text(row: Row) -> str:
    answer = f" ({row.answer})" if row.answer else ""
    return f"{row.actor}: {row.text}{answer}"


def _fit(text: str, width: int) -> str:
    text = printable(text)
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def printable(text: str) -> str:
    """Printable text only: the service under attack chose some of it, escape sequences included."""
    return "".join(char if char.isprintable() else " " for char in text)
