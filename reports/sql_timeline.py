"""A schedule of SQL statements as plain values: a column for each session, time runs downwards.

A statement that waited while others moved is split: the row where it began, the row where it went
on, and between them a bar in its column. The terminal, Markdown and the page draw this one layout.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports.evidence import RacingRequest, Schedule, SqlStep

ROWS_SHOWN = 36
KEPT_AT_START = 6
KEPT_AT_END = 4
KEPT_AROUND_CULPRIT = 2
CULPRITS_KEPT = 4
TURNS_KEPT = 16
SMALLEST_GAP = 3

TAG = re.compile(r"(UPDATE|DELETE|MERGE|INSERT 0|SELECT) (\d+)")
DONE = {"UPDATE": " changed", "DELETE": " deleted", "MERGE": " merged", "INSERT 0": " inserted"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A session: one request, what it asked and what it was told."""

    session: str
    text: str
    answer: str
    silent: bool
    """True when it sent no statement at all."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A session waits throughout a row."""

    step: SqlStep
    text: str
    """E.g. "waits for A"."""


Part = Literal["whole", "begins", "ends"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A step, its beginning, or its end; and who waits meanwhile."""

    step: SqlStep
    part: Part
    column: int
    bars: tuple[Bar | None, ...]
    """For each column the wait that goes on; None where nobody waits."""
    told: str = ""
    """What the client was told after this, the last that its request did."""

    @property
    def begins(self) -> bool:
        return self.part != "ends"

    @property
    def ends(self) -> bool:
        return self.part != "begins"

    @property
    def culprit(self) -> bool:
        return self.step.culprit and self.ends

    @property
    def waiting(self) -> str:
        """What the session waits for from here on."""
        return _waits(self.step) if self.part == "begins" else ""

    @property
    def result(self) -> str:
        return result_in_words(self.step) if self.ends else ""


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Rows that are folded away."""

    rows: tuple[Row, ...]

    @property
    def bars(self) -> tuple[Bar | None, ...]:
        return self.rows[-1].bars

    @property
    def text(self) -> str:
        """What is folded, e.g. "14 more statements: 8 of A, 6 of B"."""
        steps = list({id(row.step): row.step for row in self.rows}.values())
        by = {name: sum(step.session == name for step in steps) for name in _in_order(steps)}
        parts = ", ".join(f"{number} of {name}" for name, number in sorted(by.items()))
        return f"{len(steps)} more statements: {parts}"


@dataclass(frozen=True, kw_only=True)
class SqlTimeline:
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    """All rows, also the folded ones."""
    entries: tuple[Row | Fold, ...]
    in_the_end: str

    @property
    def legend(self) -> tuple[tuple[str, str], ...]:
        """Only the signs that this timeline uses, each with its meaning."""
        steps = [row.step for row in self.rows]
        signs = (
            ("▶", "where it went wrong", any(step.culprit for step in steps)),
            ("→", "what the database answered", any(row.result for row in self.rows)),
            ("✕", "an error of the database", any(step.effect == "error" for step in steps)),
            ("┃", "waits for a lock", any(row.part == "begins" for row in self.rows)),
            (
                "◇",
                "takes its snapshot: later reads see the data as it was at this moment",
                any(step.snapshot for step in steps),
            ),
            (
                "──",
                "commit: from here on the others see what was written",
                any(kept(step) for step in steps),
            ),
            ("╌╌", "rolled back: nothing is kept", any(undone(step) for step in steps)),
            ("◆", "a fault, or what to notice", any(step.note for step in steps)),
            ("⇒", "what the client was told", any(column.answer for column in self.columns)),
        )
        return tuple((sign, meaning) for sign, meaning, used in signs if used)


def lay_out_sql(schedule: Schedule, *, shown: int = ROWS_SHOWN) -> SqlTimeline:
    columns = _columns(schedule)
    rows = _rows(schedule.steps, columns)
    return SqlTimeline(
        title=schedule.title,
        columns=columns,
        rows=rows,
        entries=_folded(rows, shown),
        in_the_end=schedule.in_the_end,
    )


def result_in_words(step: SqlStep) -> str:
    """What the database answered; "" when it says no more than that it was done."""
    if match := TAG.fullmatch(step.answer):
        rows = int(match.group(2))
        number = "no row" if not rows else "1 row" if rows == 1 else f"{rows} rows"
        return number + DONE.get(match.group(1), "")
    if step.effect == "commit" and not kept(step):
        return "ROLLBACK: PostgreSQL kept nothing"
    is_tag = step.effect in ("begin", "commit", "rollback") and step.answer.isupper()
    return "" if is_tag else step.answer


def kept(step: SqlStep) -> bool:
    """False for a COMMIT that PostgreSQL answered with ROLLBACK: there was an error before it."""
    return step.effect == "commit" and not step.answer.startswith("ROLLBACK")


def undone(step: SqlStep) -> bool:
    return step.effect == "rollback" or (step.effect == "commit" and not kept(step))


def _waits(step: SqlStep) -> str:
    return f"waits for {' and '.join(step.waited_for)}" if step.waited_for else "waits"


def _in_order(steps: Sequence[SqlStep]) -> dict[str, None]:
    return dict.fromkeys(step.session for step in steps)


def _columns(schedule: Schedule) -> tuple[Column, ...]:
    asked = {request.session: request for request in schedule.requests}
    active = _in_order(schedule.steps)
    names = dict.fromkeys([*asked, *active])
    return tuple(_column(name, asked.get(name), silent=name not in active) for name in names)


def _column(name: str, request: RacingRequest | None, *, silent: bool) -> Column:
    text, answer = (request.text, request.answer) if request else ("", "")
    return Column(session=name, text=text, answer=answer, silent=silent)


def _rows(steps: Sequence[SqlStep], columns: tuple[Column, ...]) -> tuple[Row, ...]:
    places = {column.session: index for index, column in enumerate(columns)}
    answers = {column.session: column.answer for column in columns}
    marks = _marks(steps)
    last = {step.session: index for index, (_, step, _) in enumerate(marks)}
    rows = []
    for index, (_, step, part) in enumerate(marks):
        waiting = _waiting(marks, index)
        bars: list[Bar | None] = [None] * len(columns)
        for other in waiting:
            bars[places[other.session]] = Bar(step=other, text=_waits(other))
        told = answers[step.session] if last[step.session] == index else ""
        column = places[step.session]
        rows.append(Row(step=step, part=part, column=column, bars=tuple(bars), told=told))
    return tuple(rows)


Mark = tuple[int, SqlStep, Part]


def _marks(steps: Sequence[SqlStep]) -> list[Mark]:
    """Steps, or their two ends, in the order of the ticks; at one tick an end comes first."""
    marks: list[tuple[int, int, int, SqlStep, Part]] = []
    for index, step in enumerate(steps):
        if _is_split(step, steps):
            marks.append((step.began, 1, index, step, "begins"))
            marks.append((max(step.ended, step.began + 1), 0, index, step, "ends"))
        else:
            marks.append((step.began, 1, index, step, "whole"))
    marks.sort(key=lambda mark: mark[:3])
    return [(tick, step, part) for tick, _, _, step, part in marks]


def _is_split(step: SqlStep, steps: Sequence[SqlStep]) -> bool:
    others = [other for other in steps if other is not step]
    moved = any(step.began < tick < step.ended for o in others for tick in (o.began, o.ended))
    return moved or bool(step.waited_for)


def _waiting(marks: Sequence[Mark], index: int) -> list[SqlStep]:
    """The steps that began before this mark and end after it."""
    begun = [step for _, step, part in marks[:index] if part == "begins"]
    ended = [id(step) for _, step, part in marks[: index + 1] if part == "ends"]
    return [step for step in begun if id(step) not in ended]


def _folded(rows: tuple[Row, ...], shown: int) -> tuple[Row | Fold, ...]:
    if len(rows) <= shown:
        return rows
    kept = _kept(rows)
    entries: list[Row | Fold] = []
    away: list[Row] = []
    for index, row in enumerate(rows):
        if index in kept:
            entries += [*_fold(away), row]
            away = []
        else:
            away.append(row)
    return (*entries, *_fold(away))


def _fold(rows: list[Row]) -> list[Row | Fold]:
    # Folding one or two rows would hide something and save nothing.
    return list(rows) if len(rows) < SMALLEST_GAP else [Fold(rows=tuple(rows))]


def _kept(rows: tuple[Row, ...]) -> set[int]:
    last = len(rows) - 1
    kept = {*range(KEPT_AT_START), *range(last - KEPT_AT_END + 1, last + 1)}
    for index in [n for n, row in enumerate(rows) if row.culprit][:CULPRITS_KEPT]:
        kept |= set(range(index - KEPT_AROUND_CULPRIT, index + KEPT_AROUND_CULPRIT + 1))
    turns = [index for index, row in enumerate(rows) if _is_turn(row)]
    return kept | set(turns[:TURNS_KEPT])


def _is_turn(row: Row) -> bool:
    """Where a wait begins or ends, a database transaction ends, or something went wrong."""
    ended = row.step.effect in ("commit", "rollback", "error")
    return ended or row.part != "whole" or bool(row.step.note) or row.step.snapshot
