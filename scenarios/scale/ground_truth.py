"""Ground truth, streamed out of the service's database into tables, in bounded memory.

All of it is one moment: one REPEATABLE READ snapshot. PostgreSQL writes CSV (COPY), DuckDB reads
it; this process only passes it on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import psycopg2.extensions

from scenarios.scale.store import Store, quoted
from scenarios.targets.truth_queries import TruthQueries

TABLES = {
    "balances": "wallet VARCHAR, asset VARCHAR, whole BIGINT, odd VARCHAR, "
    "may_be_negative BOOLEAN, version BIGINT, owner VARCHAR, status VARCHAR",
    "effects": "effect VARCHAR, payer VARCHAR, payee VARCHAR, whole BIGINT, odd VARCHAR, "
    "key VARCHAR",
    "legs": "effect VARCHAR, wallet VARCHAR, whole BIGINT, odd VARCHAR, after_whole BIGINT, "
    "after_odd VARCHAR, position BIGINT",
}
"""Columns as in `scenarios.targets.truth_queries`, and their types."""


class TruthSource(Protocol):
    """Ground truth as CSV without a header; null is an empty field, text may be quoted."""

    def keeps(self, table: str) -> bool:
        """Whether the service has such rows at all."""

    def copy(self, table: str, file: BinaryIO) -> None:
        """Write the rows of a table of `TABLES`. Raises OSError, psycopg2.Error."""


@dataclass(frozen=True, kw_only=True)
class PostgresTruth:
    """Reads within whatever database transaction the connection is in."""

    connection: psycopg2.extensions.connection
    queries: TruthQueries
    since: str | None = None
    """Leave out what this snapshot saw, where the target can tell."""

    def keeps(self, table: str) -> bool:
        return self._query(table) is not None

    def copy(self, table: str, file: BinaryIO) -> None:
        with self.connection.cursor() as cursor:
            query = self._query(table) or ""
            if table != "balances" and self.since and self.queries.new_only:
                since = f"'{self.since}'::pg_snapshot"
                query = f"{query} AND {self.queries.new_only.format(since=since)}"
            cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT csv)", file)

    def _query(self, table: str) -> str | None:
        queries = self.queries
        return {"balances": queries.balances, "effects": queries.effects, "legs": queries.legs}[
            table
        ]


def begin_snapshot(connection: psycopg2.extensions.connection) -> str:
    """From now on the connection sees one moment, until it is rolled back: which one, as text."""
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_snapshot()::text")
        (snapshot,) = cursor.fetchone() or ("",)
    return str(snapshot)


def load_truth(store: Store, source: TruthSource | None, spill: Path) -> Sequence[str]:
    """Views `raw_balances`, … over what is written into the folder; the tables that are kept.

    Without a source, when it could not be read, they are empty.
    """
    kept = []
    for table, columns in TABLES.items():
        file = spill / f"{table}.csv"
        with file.open("wb") as opened:
            if source is not None and source.keeps(table):
                source.copy(table, opened)
                kept.append(table)
        types = ", ".join(
            f"'{name}': '{kind}'" for name, kind in (c.split() for c in columns.split(", "))
        )
        store.run(
            f"CREATE OR REPLACE VIEW raw_{table} AS SELECT * FROM read_csv({quoted(file)}, "
            f"columns = {{{types}}}, header = false, auto_detect = false, delim = ',', "
            "quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false)"
        )
    return kept
