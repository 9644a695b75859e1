"""Which rows of a table a statement may touch, where it names them by columns of the primary key.

Two statements that name different rows of one table do not meet there: neither waits for the other,
sees what it wrote, or collides with it in a unique index. That is so only where nothing else is
hidden behind the table (triggers, rules, policies, inheritance, a second unique index that an
INSERT has to pass), and where two constants that look different are different.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Verb = Literal["read", "insert", "update", "delete"]
Named = frozenset[tuple[str, str]]
"""Columns that have to equal a constant, or are given one, and the constant as it is written."""
Row = tuple[str | None, ...]
"""What the columns of the primary key have to be; None is anything."""
Rows = frozenset[tuple[str, frozenset[Row]]]
"""Relations of which these rows are touched and no other."""
NO_ROWS: Rows = frozenset()

_EXACT: dict[str, Callable[[str], str]] = {
    # Under a collation that is deterministic; the catalogs were asked.
    "text": str,
    "varchar": str,
    "int2": lambda text: str(int(text)),
    "int4": lambda text: str(int(text)),
    "int8": lambda text: str(int(text)),
    "uuid": lambda text: str(uuid.UUID(text)),
}
"""Types of which two values are equal when these texts are, and only then."""


@dataclass(frozen=True, kw_only=True)
class Touch:
    """One mention of a relation in a statement."""

    relation: str
    verb: Verb
    named: Named
    sets: frozenset[str] = frozenset()
    """Columns that an UPDATE sets."""


@dataclass(frozen=True, kw_only=True)
class RowKey:
    """What the catalogs say of a table whose rows can be told apart by their names."""

    columns: tuple[str, ...]
    """Of the primary key."""
    types: tuple[str, ...]
    alone: bool
    """No other index is unique."""
    unique_columns: frozenset[str]
    """In any unique index, that one included."""
    plain: bool
    """No unique index is partial or computed."""

    def row_of(self, touch: Touch) -> Row | None:
        """What the rows that it may touch are like; None where that cannot be said."""
        if touch.verb == "insert" and not (self.alone and self.plain):
            return None
        moves = not touch.sets.isdisjoint(self.unique_columns)
        if touch.verb == "update" and (moves or not self.plain):
            return None
        named = dict(touch.named)
        row = tuple(
            _exact(kind, named.get(column))
            for column, kind in zip(self.columns, self.types, strict=True)
        )
        return row if any(value is not None for value in row) else None


def _exact(kind: str, text: str | None) -> str | None:
    try:
        return None if text is None else _EXACT[kind](text)
    except ValueError:
        return None


KeyOf = Callable[[str], RowKey | None]


def no_key(relation: str) -> RowKey | None:  # noqa: ARG001 - a KeyOf
    """For whoever has no catalogs at hand."""
    return None


def tells_apart(types: Iterable[str]) -> bool:
    return all(kind in _EXACT for kind in types)


def rows_of(touches: Iterable[Touch], key_of: KeyOf) -> Rows:
    """Of a statement all of whose mentions of these relations are given."""
    found: dict[str, set[Row] | None] = {}
    for touch in touches:
        key = key_of(touch.relation)
        row = key.row_of(touch) if key else None
        rows = found.setdefault(touch.relation, set())
        if row is None or rows is None:
            found[touch.relation] = None
        else:
            rows.add(row)
    return frozenset((name, frozenset(rows)) for name, rows in found.items() if rows)


def apart(one: Rows, other: Rows) -> frozenset[str]:
    """The relations of which both touch rows, and no row in common."""
    theirs = dict(other)
    return frozenset(
        name
        for name, rows in one
        if name in theirs and all(differ(a, b) for a in rows for b in theirs[name])
    )


def differ(one: Row, other: Row) -> bool:
    """Whether some column tells the two apart."""
    return any(
        mine is not None and theirs is not None and mine != theirs
        for mine, theirs in zip(one, other, strict=True)
    )


def in_both(
    one: Rows, one_touches: frozenset[str], other: Rows, other_touches: frozenset[str]
) -> Rows:
    """Of two steps taken as one: all rows of a relation that either of them touches."""
    sides = ((dict(one), one_touches), (dict(other), other_touches))
    united = set()
    for name in one_touches | other_touches:
        known = [rows.get(name) for rows, touches in sides if name in touches]
        if None not in known:
            united.add((name, frozenset().union(*(rows for rows in known if rows))))
    return frozenset(united)
