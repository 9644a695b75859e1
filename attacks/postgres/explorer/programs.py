"""Small SQL programs as racers: sessions and steps as data, as in PostgreSQL's isolation tests."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg2

from attacks.postgres.explorer.run import Racer

Result = tuple[tuple[Any, ...], ...] | str
"""Of one statement: its rows, its command tag when it has none, or its SQLSTATE."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What one session does, statement by statement; it goes on after an error."""

    statements: tuple[str, ...]


class Sessions:
    """A connection a program, kept from schedule to schedule, as a service's pool keeps them."""

    def __init__(self, database_url: str, programs: Sequence[Program]) -> None:
        self._programs = programs
        self._connections = [psycopg2.connect(database_url) for _ in programs]
        for connection in self._connections:
            connection.autocommit = True  # The programs say BEGIN themselves.

    @property
    def racers(self) -> list[Racer]:
        return [
            partial(_run, connection, program)
            for connection, program in zip(self._connections, self._programs, strict=True)
        ]

    def close(self) -> None:
        for connection in self._connections:
            with suppress(psycopg2.Error):
                connection.close()


def _run(connection: psycopg2.extensions.connection, program: Program) -> tuple[Result, ...]:
    with connection.cursor() as cursor:
        results = tuple(_result(cursor, statement) for statement in program.statements)
        if connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            cursor.execute("ROLLBACK")
    return results


def _result(cursor: psycopg2.extensions.cursor, statement: str) -> Result:
    try:
        cursor.execute(statement)
    except psycopg2.Error as error:
        return error.pgcode or "connection lost"
    return tuple(cursor.fetchall()) if cursor.description else str(cursor.statusmessage)
