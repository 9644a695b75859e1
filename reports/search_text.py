"""The search over orders and fault points of a cell, as lines of plain text."""

from reports.drawing import CULPRIT, INDENT, MARGIN, printable
from reports.evidence import Cell, Exploration, FaultCase, Schedule
from reports.faults import FaultRow, FaultTable, lay_out_faults
from reports.sql_drawing import serial_in_brief, sql_drawing, wrapped
from reports.sql_text import short_sql
from reports.sql_timeline import lay_out_sql
from reports.words import (
    count,
    exploration_in_words,
    faults_in_words,
    named_exploration_in_words,
    prediction_of_anomaly_in_words,
)

VIOLATIONS_SHOWN = 12
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def shown_exploration(cell: Cell) -> tuple[Exploration, Schedule] | None:
    """The schedule that is drawn, and its search: the first that lost, else the first example."""
    losing = [(e, e.losing) for e in cell.explorations if e.losing]
    examples = [(e, e.serial) for e in cell.explorations if e.serial]
    return next(iter(losing + examples), None)


def schedule_block(cell: Cell, width: int) -> list[str]:
    """The losing schedule and what the serial order gives; empty without any schedule."""
    shown = shown_exploration(cell)
    if shown is None:
        return []
    exploration, drawn = shown
    lines = wrapped(f"Race: {exploration.race}", width)
    lines += sql_drawing(lay_out_sql(drawn), width)
    if exploration.losing and exploration.serial:
        lines += ["", *wrapped(serial_in_brief(exploration.serial), width)]
    return lines


def search_block(cell: Cell, width: int) -> list[str]:
    """What was tried and predicted, race by race."""
    say = exploration_in_words if len(cell.explorations) == 1 else named_exploration_in_words
    lines: list[str] = []
    for exploration in cell.explorations:
        lines += wrapped(say(exploration), width)
        for prediction in exploration.predictions:
            lines += wrapped(prediction_of_anomaly_in_words(prediction), width)
    return lines


def fault_blocks(cell: Cell, width: int) -> list[list[str]]:
    """For each request a table, statement by fault, and each violation in full."""
    return [_fault_block(table, width) for table in lay_out_faults(cell.fault_cases)]


def _fault_block(table: FaultTable, width: int) -> list[str]:
    letters = [_letter(index) for index in range(len(table.faults))]
    cell = max(len(letter) for letter in letters) + 2
    room = max(width - INDENT - cell * len(letters), 12)
    lines = wrapped(f"Faults during {table.request}: {faults_in_words(table.cases)}", width)
    lines.append(f"{MARGIN}{' ' * room}{''.join(f'{letter:>{cell}}' for letter in letters)}")
    lines += [_fault_row(row, room, cell) for row in table.rows]
    for letter, fault in zip(letters, table.faults, strict=True):
        lines += wrapped(f"{letter} = {fault}", width)
    lines += wrapped("✓ held   ✕ violated" + ("   · not tried" if table.has_gaps else ""), width)
    shown = table.violated[:VIOLATIONS_SHOWN]
    for case in shown:
        lines += _violation(case, width)
    if hidden := len(table.violated) - len(shown):
        lines += wrapped(f"…and {count(hidden, 'more violation')} in the report", width)
    return lines


def _letter(index: int) -> str:
    return LETTERS[index] if index < len(LETTERS) else str(index + 1)


def _fault_row(row: FaultRow, room: int, cell: int) -> str:
    sql = printable(short_sql(row.sql, (), room - 1))
    marks = "".join(f"{mark.sign:>{cell}}" for mark in row.marks)
    return f"{row.step:>{INDENT - 3}}   {sql:<{room}}{marks}"


def _violation(case: FaultCase, width: int) -> list[str]:
    lines = wrapped(f"{fault_in_words(case)}.", width)
    return [f"{CULPRIT}{lines[0][1:]}", *lines[1:]]


def fault_in_words(case: FaultCase) -> str:
    """One case in a sentence, without its full stop."""
    where = f"statement {case.step} ({short_sql(case.sql, (), 40)})"
    retry = f"; a retry was answered: {case.retry}" if case.retry else ""
    return (
        f"{case.fault} at {where}: the client was told {case.client}, "
        f"PostgreSQL says {case.database}{retry}"
    )
