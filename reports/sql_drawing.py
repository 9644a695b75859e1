"""A schedule of SQL statements as lines of plain text: a column for each session.

Without the room for columns the statements stand in one list, each with its session's name.
"""

import re
import textwrap
import unicodedata

from reports.drawing import CULPRIT, INDENT, MARGIN, printable
from reports.evidence import Schedule, SqlStep
from reports.sql_text import NO_BREAK, is_only, short_sql, unbroken
from reports.sql_timeline import Bar, Column, Fold, Row, SqlTimeline, kept, undone

NARROWEST_COLUMN = 24
ROOMY_COLUMN = 36
GAP = 3
SQL_CHARACTERS = (84, 76, 68, 60, 52, 44)
RESULT_LINES = 3
HEAD_LINES = 2
SHORTEST_RULE = 4
LONG_VALUE = re.compile(r"[^\s,=]{28,}")
BAR, BAR_ENDS = "┃", "┗"
COMMIT_RULE, ROLLBACK_RULE = "─", "╌"


def sql_drawing(timeline: SqlTimeline, width: int = 100) -> list[str]:
    """The title, a column for each session, how it ended, and what the signs mean."""
    if not timeline.columns:
        return []
    room = (width - INDENT + GAP) // len(timeline.columns) - GAP
    in_columns = room >= NARROWEST_COLUMN or len(timeline.columns) == 1
    body = _columns(timeline, room) if in_columns else _list(timeline, width)
    lines = wrapped(timeline.title, width) if timeline.title else []
    lines += [*body, "", *_ending(timeline, width), *_legend(timeline, width)]
    return [line.rstrip() for line in lines]


def serial_in_brief(schedule: Schedule) -> str:
    """What one request after the other gives, in a line."""
    answers = ", then ".join(f"{r.session} {r.answer}" for r in schedule.requests)
    return f"One after the other: {answers}; {schedule.in_the_end}"


def wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=MARGIN,
        subsequent_indent=MARGIN,
        break_on_hyphens=False,
    )


def _ending(timeline: SqlTimeline, width: int) -> list[str]:
    return wrapped(f"In the end: {timeline.in_the_end}", width) if timeline.in_the_end else []


def _legend(timeline: SqlTimeline, width: int) -> list[str]:
    # What belongs together stays together: only the gaps between two signs may break a line.
    signs = [f"{sign} {meaning}".replace(" ", NO_BREAK) for sign, meaning in timeline.legend]
    lines = textwrap.wrap("   ".join(signs), width - INDENT, break_on_hyphens=False)
    return [f"{MARGIN}{line.replace(NO_BREAK, ' ')}" for line in lines]


def _columns(timeline: SqlTimeline, room: int) -> list[str]:
    heads = [_head(column, room) for column in timeline.columns]
    lines = _beside([[*head, "━" * room] for head in _level(heads)], room, MARGIN)
    for entry in timeline.entries:
        if isinstance(entry, Fold):
            bars = _bars(entry.bars, None, 1)
            lines += _beside(bars, room, _gutter(None))
            lines.append(f"{'…':>{INDENT - 2}}  {entry.text}")
            continue
        own = _statement(entry, room)
        cells = _bars(entry.bars, (entry.column, own), len(own))
        lines += _beside(cells, room, _gutter(entry))
    return lines


def _head(column: Column, room: int) -> list[str]:
    name = f"{column.session}  "
    head = _hung(_few_lines(column.text, room - len(name), HEAD_LINES) or [""], name)
    if column.silent:
        head += _few_lines(f"sent no statement ⇒ {column.answer}".rstrip(" ⇒"), room, HEAD_LINES)
    return head


def _level(heads: list[list[str]]) -> list[list[str]]:
    tallest = max(len(head) for head in heads)
    return [head + [""] * (tallest - len(head)) for head in heads]


def _gutter(row: Row | None) -> str:
    mark = CULPRIT if row and row.culprit else " "
    number = row.step.number if row and row.begins else ""
    return f"{mark}{number:>{INDENT - 4}}   "


def _bars(
    bars: tuple[Bar | None, ...], own: tuple[int, list[str]] | None, height: int
) -> list[list[str]]:
    """A block of lines for each column: the row's own, the bars of those who wait, or nothing."""
    blocks = [[BAR] * height if bar else [] for bar in bars]
    if own:
        blocks[own[0]] = own[1]
    return blocks


def _beside(blocks: list[list[str]], room: int, gutter: str) -> list[str]:
    height = max(len(block) for block in blocks)
    padded = [block + [""] * (height - len(block)) for block in blocks]
    lines = []
    for number, parts in enumerate(zip(*padded, strict=True)):
        text = (" " * GAP).join(part + " " * (room - _cells(part)) for part in parts)
        lines.append(f"{gutter if not number else MARGIN}{text}")
    return lines


def _statement(row: Row, room: int) -> list[str]:
    """Everything that stands in the row's own column."""
    if line := _one_line_end(row, room):
        return [line]
    lines = _beginning(row, room) if row.begins else []
    lead = f"{BAR_ENDS} " if row.part == "ends" else "  "
    result = _result(row, room - 2)
    if row.begins and len(result) == 1 and _joins(lines, result[0], room):
        lines[-1] = f"{lines[-1]}  {result[0]}"
    else:
        lines += _hung(result, lead)
    if row.part == "ends" and not result:
        lines.append(f"{BAR_ENDS} goes on")
    if row.waiting:
        lines += [f"{BAR} {line}" for line in _few_lines(row.waiting, room - 2, 2)]
    return [*lines, *_finish(row, room)]


def _one_line_end(row: Row, room: int) -> str:
    """`COMMIT ──────── ⇒ 201`, when there is no more to say of it."""
    step = row.step
    plain = is_only(step.sql, "COMMIT", "END", "ROLLBACK", "ABORT")
    if not (plain and _rule(step)) or row.part != "whole" or row.result or step.note:
        return ""
    sql, told = printable(step.sql).strip(" ;"), f" ⇒ {printable(row.told)}" if row.told else ""
    rule = room - len(sql) - len(told) - 1
    return f"{sql} {_rule(step) * rule}{told}" if rule >= SHORTEST_RULE else ""


def _beginning(row: Row, room: int) -> list[str]:
    step = row.step
    lines = _sql_lines(step, room)
    if step.snapshot:
        lines += _few_lines("◇ snapshot", room, 1)
    return lines


def _sql_lines(step: SqlStep, room: int) -> list[str]:
    """As much of the statement as a few lines hold; a line breaks between conditions."""
    most = -(-SQL_CHARACTERS[0] // room) + (room < ROOMY_COLUMN)
    texts = [printable(short_sql(step.sql, step.parameters, n)) for n in SQL_CHARACTERS]
    text = next((text for text in texts if len(_lines(text, room)) <= most), texts[-1])
    return _few_lines(text or "(no text)", room, most)


def _result(row: Row, room: int) -> list[str]:
    if not row.result:
        return []
    sign = "✕" if row.step.effect == "error" else "→"
    text = LONG_VALUE.sub(lambda match: f"{match.group()[:8]}…", row.result)
    return _hung(_few_lines(text, room - 2, RESULT_LINES), f"{sign} ")


def _hung(lines: list[str], lead: str) -> list[str]:
    return [f"{lead if not number else ' ' * len(lead)}{line}" for number, line in enumerate(lines)]


def _joins(lines: list[str], result: str, room: int) -> bool:
    return bool(lines) and len(lines[-1]) + len(result) + 2 <= room


def _finish(row: Row, room: int) -> list[str]:
    """A fault, the rule of a commit, and what the client was told."""
    lines = _hung(_few_lines(row.step.note, room - 4, RESULT_LINES), "  ◆ ") if row.ends else []
    lines += [_rule(row.step) * room] if row.ends and _rule(row.step) else []
    return lines + _hung(_few_lines(row.told, room - 2, RESULT_LINES), "⇒ ")


def _rule(step: SqlStep) -> str:
    return COMMIT_RULE if kept(step) else ROLLBACK_RULE if undone(step) else ""


def _few_lines(text: str, room: int, most: int) -> list[str]:
    lines = _lines(printable(text), room)
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], f"{lines[most - 1][: room - 1]}…"]


def _lines(text: str, room: int) -> list[str]:
    text = unbroken(text)
    # Letters of some scripts are two cells wide: fewer of them fit.
    room = max(room * len(text) // max(_cells(text), 1), 1)
    lines = textwrap.wrap(text, room, break_on_hyphens=False)
    return [line.replace(NO_BREAK, " ") for line in lines]


def _cells(text: str) -> int:
    """How many cells of a terminal the text takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(bool(unicodedata.combining(char)) for char in text)


def _list(timeline: SqlTimeline, width: int) -> list[str]:
    names = max(len(column.session) for column in timeline.columns) + 2
    room = width - INDENT - names
    lines = [f"{MARGIN}{line}" for column in timeline.columns for line in _head(column, room)]
    for entry in timeline.entries:
        if isinstance(entry, Fold):
            lines += textwrap.wrap(
                entry.text, width, initial_indent=f"{'…':>{INDENT - 2}}  ", subsequent_indent=MARGIN
            )
        else:
            own = _statement(entry, room)
            lines += _hung(own, f"{_gutter(entry)}{entry.step.session:<{names}}")
    return lines
