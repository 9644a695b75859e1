"""Faults at chosen statements as plain values: for each request a table, statement by fault."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.evidence import FaultCase


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One fault at one statement: every case of it, usually one."""

    cases: tuple[FaultCase, ...]

    @property
    def sign(self) -> str:
        if not self.cases:
            return "·"
        return "✕" if self.violated else "✓"

    @property
    def violated(self) -> bool:
        return any(case.violated for case in self.cases)

    @property
    def database(self) -> str:
        """What PostgreSQL says, e.g. "committed"; each answer once."""
        return ", ".join(dict.fromkeys(case.database for case in self.cases))


@dataclass(frozen=True, kw_only=True)
class FaultRow:
    step: int
    sql: str
    marks: tuple[Mark, ...]
    """In the order of the table's faults."""


@dataclass(frozen=True, kw_only=True)
class FaultTable:
    request: str
    faults: tuple[str, ...]
    rows: tuple[FaultRow, ...]
    cases: tuple[FaultCase, ...]

    @property
    def violated(self) -> tuple[FaultCase, ...]:
        return tuple(case for case in self.cases if case.violated)

    @property
    def has_gaps(self) -> bool:
        return any(not mark.cases for row in self.rows for mark in row.marks)


def lay_out_faults(cases: Sequence[FaultCase]) -> tuple[FaultTable, ...]:
    """The requests and the faults in the order in which they came, statements by number."""
    requests = dict.fromkeys(case.request for case in cases)
    return tuple(_table(name, [c for c in cases if c.request == name]) for name in requests)


def _table(request: str, cases: list[FaultCase]) -> FaultTable:
    faults = tuple(dict.fromkeys(case.fault for case in cases))
    statements: dict[int, str] = {}
    for case in cases:
        statements.setdefault(case.step, case.sql)
    rows = []
    for step, sql in sorted(statements.items()):
        here = [case for case in cases if case.step == step]
        marks = (Mark(cases=tuple(c for c in here if c.fault == fault)) for fault in faults)
        rows.append(FaultRow(step=step, sql=sql, marks=tuple(marks)))
    return FaultTable(request=request, faults=faults, rows=tuple(rows), cases=tuple(cases))
