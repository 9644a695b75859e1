"""Schema changes that keep nobody waiting, whatever is in the tables.

A constraint is added NOT VALID, which looks at no row, and validated by a statement of its own,
which keeps no writer out; an index is built CONCURRENTLY. Each statement commits by itself, so
what is there already is left alone: a migration that broke off is simply run again. See "ALTER
TABLE" and "Building Indexes Concurrently" in PostgreSQL's manual.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

LOCK_TIMEOUT_MS = 400
"""While a change waits for its lock, everybody else waits behind it: not longer than this, and
shorter than it takes to find a deadlock, so that it is the change that gives way."""

IS_VALID = (
    "SELECT convalidated FROM pg_constraint "
    "WHERE conrelid = to_regclass(:table) AND conname = :name"
)
DEADLOCK_TIMEOUT_MS = "SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout'"
IS_BROKEN = "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"


@contextmanager
def step_by_step() -> Iterator[None]:
    """Around the changes of a migration: each statement is a database transaction."""
    with op.get_context().autocommit_block():
        yield


def add_check(table: str, name: str, condition: str) -> None:
    _add_constraint(table, name, f"CHECK ({condition})")


def add_foreign_key(table: str, column: str, referred: str) -> None:
    """To the column `id`."""
    keys = f"FOREIGN KEY ({column}) REFERENCES {referred} (id)"
    _add_constraint(table, f"{table}_{column}_fk", keys)


def add_unique(table: str, name: str, columns: Sequence[str]) -> None:
    if _value(IS_VALID, table=table, name=name) is not None:
        return
    create_index(table, name, columns, unique=True)
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")


def create_index(
    table: str, name: str, columns: Sequence[str], *, unique: bool = False, where: str = ""
) -> None:
    """Of the rows that satisfy `where`, or of all."""
    if _value(IS_BROKEN, name=name):
        op.execute(f"DROP INDEX CONCURRENTLY {name}")
    # It waits for whoever is at work, and holds up nobody meanwhile.
    op.execute("SET lock_timeout = 0")
    kind = "UNIQUE INDEX" if unique else "INDEX"
    listed = ", ".join(columns)
    partial = f" WHERE {where}" if where else ""
    op.execute(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {table} ({listed}){partial}")
    bound_waits(op.get_bind())


def bound_waits(connection: sa.Connection) -> None:
    """Of this session, for a lock."""
    found_after_ms = connection.execute(sa.text(DEADLOCK_TIMEOUT_MS)).scalar_one()
    wait_ms = max(1, min(LOCK_TIMEOUT_MS, found_after_ms // 2))
    connection.execute(sa.text(f"SET lock_timeout = {wait_ms}"))


def _add_constraint(table: str, name: str, definition: str) -> None:
    valid = _value(IS_VALID, table=table, name=name)
    if valid is None:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID")
    if not valid:
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def _value(query: str, **values: Any) -> Any:
    return op.get_bind().execute(sa.text(query), values).scalar()
