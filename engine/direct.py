"""One statement that is a database transaction of its own, on the driver's cursor.

A single statement needs neither BEGIN and COMMIT, which are round trips, nor a result with
metadata, which costs more than the statement itself. Errors are SQLAlchemy's all the same.
"""

from collections.abc import Mapping
from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.orm import Session


class Direct:
    """To be made once for each statement, whose bound parameters all get their values later."""

    def __init__(self, statement: sa.ClauseElement) -> None:
        compiled = statement.compile(dialect=PGDialect_psycopg2())  # type: ignore[no-untyped-call]
        self.sql = str(compiled)
        self._constants = {
            name: value for name, value in compiled.params.items() if value is not None
        }

    def first(self, session: Session, values: Mapping[str, Any]) -> Any:
        """The first row or None; committed, whatever the session had read before is over.

        Raises DBAPIError.
        """
        session.rollback()
        connection = session.connection()
        driver: Any = connection.connection.dbapi_connection
        # psycopg2's switch and not SQLAlchemy's isolation level, which asks the server to be set
        # back.
        driver.autocommit = True
        try:
            with driver.cursor() as cursor:
                cursor.execute(self.sql, {**self._constants, **values})
                return cursor.fetchone()
        except psycopg2.Error as error:
            # As if SQLAlchemy had executed it: a lost connection takes the pool's others along.
            connection._handle_dbapi_exception(error, self.sql, None, None, None)  # noqa: SLF001
        finally:
            if not driver.closed:
                driver.autocommit = False
