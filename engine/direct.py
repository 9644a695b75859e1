"""Statements on the driver's cursor: compiled once, and without a result with metadata.

Executing a statement of its costs SQLAlchemy more than it costs the driver and the server together.
Errors are SQLAlchemy's all the same, and whoever listens to its events hears of each statement.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.orm import Session


class Direct:
    """To be made once for each statement, whose bound parameters all get their values later.

    `columns` are those that an INSERT without VALUES is given.
    """

    def __init__(self, statement: sa.ClauseElement, columns: Iterable[str] | None = None) -> None:
        names = None if columns is None else list(columns)
        dialect = PGDialect_psycopg2()  # type: ignore[no-untyped-call]
        compiled = statement.compile(dialect=dialect, column_keys=names)
        self.sql = str(compiled)
        self._constants = {
            name: value for name, value in compiled.params.items() if value is not None
        }

    def rows(self, session: Session, values: Mapping[str, Any]) -> list[Any]:
        """All rows, as tuples; in the session's database transaction. Raises DBAPIError."""
        return self._rows(session.connection(), values)

    def alone(self, connection: sa.Connection, values: Mapping[str, Any]) -> Any:
        """The first row or None; committed, on a connection on which nothing is under way.

        As a database transaction of its own it needs neither BEGIN and COMMIT, which are round
        trips, nor a session, which takes longer than the statement. Raises DBAPIError.
        """
        driver: Any = connection.connection.dbapi_connection
        # psycopg2's switch and not SQLAlchemy's isolation level, which asks the server to be set
        # back.
        driver.autocommit = True
        try:
            rows = self._rows(connection, values)
        finally:
            if not driver.closed:
                driver.autocommit = False
        return rows[0] if rows else None

    def _rows(self, connection: sa.Connection, values: Mapping[str, Any]) -> list[Any]:
        driver: Any = connection.connection.dbapi_connection
        values = {**self._constants, **values}
        heard: Any = connection.dispatch if _has_listeners(connection) else None
        try:
            with driver.cursor() as cursor:
                if heard:
                    heard.before_cursor_execute(connection, cursor, self.sql, values, None, False)
                cursor.execute(self.sql, values)
                rows = cursor.fetchall() if cursor.description else []
                if heard:
                    heard.after_cursor_execute(connection, cursor, self.sql, values, None, False)
        except psycopg2.Error as error:
            # As if SQLAlchemy had executed it: a lost connection takes the pool's others along.
            connection._handle_dbapi_exception(error, self.sql, None, None, None)  # noqa: SLF001
        return rows


def _has_listeners(connection: sa.Connection) -> bool:
    """Asked as SQLAlchemy asks: to look through them all takes as long as a statement."""
    return bool(connection._has_events or connection.engine._has_events)  # noqa: SLF001
