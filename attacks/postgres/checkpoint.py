"""Putting a database back to where it was, without knowing what is in it.

All tables are copied once; restoring replaces their rows and sets the sequences back, in one
database transaction. Triggers and foreign keys stay silent meanwhile (`session_replication_role`,
which needs a superuser or the grant of that setting).
"""

from collections.abc import Sequence

import psycopg2
from psycopg2 import sql

SHADOW = "assay_checkpoint"
TABLES = """
SELECT n.nspname, c.relname, has_table_privilege(c.oid, 'DELETE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', %s)
  AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY c.oid
"""
COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
ORDER BY attnum
"""
SEQUENCES = """
SELECT n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND n.nspname NOT IN ('pg_catalog', 'information_schema', %s)
ORDER BY c.oid
"""


class CheckpointError(Exception):
    """One clear line: the database cannot be put back, and what is missing."""


class Checkpoint:
    """The rows and sequences of a database as they are now. `restore` brings them back.

    Raises CheckpointError when the role may not copy tables or silence triggers. `close` drops the
    copies.
    """

    def __init__(self, database_url: str) -> None:
        try:
            self._connection = psycopg2.connect(database_url)
        except psycopg2.Error as error:
            raise CheckpointError(f"no checkpoint could be made: {_line(error)}") from error
        self._lent: list[sql.Composable] = []
        try:
            self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute("SET synchronous_commit = off")
                cursor.execute("SET session_replication_role = replica")
                self._restore = _copied(cursor, self._lent)
                # Whether the role may write is better known now than after the first schedule.
                cursor.execute(self._restore)
        except psycopg2.errors.InsufficientPrivilege as error:
            self.close()
            raise CheckpointError(
                f"the database cannot be put back between schedules: {_line(error)}; the role needs"
                " to be a superuser, or to own the tables with GRANT SET ON PARAMETER"
                " session_replication_role and CREATE on the database"
            ) from error
        except psycopg2.Error as error:
            self.close()
            raise CheckpointError(f"no checkpoint could be made: {_line(error)}") from error

    def restore(self) -> None:
        """Raises CheckpointError, also when somebody else still holds locks on the rows."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(self._restore)
        except psycopg2.Error as error:
            raise CheckpointError(f"the database could not be put back: {_line(error)}") from error

    def close(self) -> None:
        if self._connection.closed:
            return
        try:
            with self._connection.cursor() as cursor:
                for table in self._lent:
                    cursor.execute(sql.SQL("REVOKE DELETE ON {} FROM CURRENT_USER").format(table))
                cursor.execute(f"DROP SCHEMA IF EXISTS {SHADOW} CASCADE")
        except psycopg2.Error:
            pass  # The database is gone, and the copies with it.
        finally:
            self._connection.close()


def _copied(cursor: psycopg2.extensions.cursor, lent: list[sql.Composable]) -> str:
    """Copy everything; the statements that bring it back, as one string.

    The owner of a table that nobody may delete from, itself included, lends itself that privilege:
    `lent` is told of these tables.
    """
    cursor.execute(f"DROP SCHEMA IF EXISTS {SHADOW} CASCADE; CREATE SCHEMA {SHADOW}")
    parts: list[sql.Composable] = [sql.SQL("SET LOCAL lock_timeout = '5s'")]
    cursor.execute(TABLES, (SHADOW,))
    for number, (schema, name, may_delete) in enumerate(cursor.fetchall()):
        table, copy = sql.Identifier(schema, name), sql.Identifier(SHADOW, f"t{number}")
        if not may_delete:
            cursor.execute(sql.SQL("GRANT DELETE ON {} TO CURRENT_USER").format(table))
            lent.append(table)
        columns = _columns(cursor, table)
        listed = sql.SQL(", ").join(map(sql.Identifier, columns))
        cursor.execute(
            sql.SQL("CREATE TABLE {} AS SELECT {} FROM ONLY {}").format(copy, listed, table)
        )
        parts += [
            sql.SQL("DELETE FROM ONLY {}").format(table),
            sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}").format(
                table, listed, listed, copy
            ),
        ]
    cursor.execute(SEQUENCES, (SHADOW,))
    parts += [_reset(cursor, schema, name) for schema, name in cursor.fetchall()]
    return sql.SQL("; ").join(parts).as_string(cursor)


def _columns(cursor: psycopg2.extensions.cursor, table: sql.Identifier) -> Sequence[str]:
    cursor.execute(COLUMNS, (table.as_string(cursor),))
    return [name for (name,) in cursor.fetchall()]


def _reset(cursor: psycopg2.extensions.cursor, schema: str, name: str) -> sql.Composable:
    sequence = sql.Identifier(schema, name)
    cursor.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(sequence))
    row = cursor.fetchone()
    assert row is not None, "a sequence always has a row"
    return sql.SQL("SELECT setval({}, {}, {})").format(
        sql.Literal(sequence.as_string(cursor)), sql.Literal(row[0]), sql.Literal(row[1])
    )


def _line(error: psycopg2.Error) -> str:
    return " ".join(str(error).split("\n")[0].split())
