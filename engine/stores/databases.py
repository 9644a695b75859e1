"""The databases that one run creates on a server, and only those."""

from collections.abc import Callable
from contextlib import closing

import psycopg2
from psycopg2 import errors, extensions, sql

from engine.ownership import poll
from engine.stores.model import StoreError
from engine.stores.urls import with_database, without_password

CONNECT_S = 5
# The least that libpq accepts.
TRY_S = 2


def connect(url: str, *, deadline_s: int = CONNECT_S) -> extensions.connection:
    """An autocommit connection, made within a bound."""
    opened = psycopg2.connect(url, connect_timeout=deadline_s)
    opened.autocommit = True
    return opened


def server_version(url: str) -> str:
    """Such as 18.4."""
    with closing(connect(url)) as admin, admin.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (version,) = cursor.fetchone() or ("unknown",)
    return str(version).split()[0]


def wait_until_ready(url: str, *, alive: Callable[[], bool], deadline_s: float) -> bool:
    """Whether the server let this user in before it ended or the deadline passed."""
    accepted = False

    def decided() -> bool:
        nonlocal accepted
        try:
            # On a port that is somebody else's, the answer may never come.
            connect(url, deadline_s=TRY_S).close()
            accepted = True
        except psycopg2.OperationalError:
            accepted = False
        return accepted or not alive()

    poll(decided, deadline_s)
    return accepted


class Databases:
    """Creates and drops databases; refuses to touch those that it did not create."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        self._created: list[str] = []

    def create(self, name: str, template: str | None) -> str:
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        try:
            self._execute(statement)
        except errors.DuplicateDatabase as error:
            raise StoreError(
                f"database {name} exists already on {without_password(self._admin_url)}; "
                "Assay refuses to reset a database that it did not create: choose another name"
            ) from error
        except psycopg2.Error as error:
            raise StoreError(self._failed(f"create database {name}", error)) from error
        self._created.append(name)
        return with_database(self._admin_url, name)

    def drop(self, name: str) -> None:
        if name not in self._created:
            raise StoreError(
                f"refused to drop database {name} on {without_password(self._admin_url)}: "
                "Assay did not create it; drop it yourself if it is yours"
            )
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        try:
            self._execute(statement)
        except psycopg2.Error as error:
            raise StoreError(self._failed(f"drop database {name}", error)) from error
        self._created.remove(name)

    def drop_all(self) -> None:
        for name in tuple(self._created):
            self.drop(name)

    def _execute(self, statement: sql.Composable) -> None:
        with closing(connect(self._admin_url)) as admin, admin.cursor() as cursor:
            cursor.execute(statement)

    def _failed(self, action: str, error: psycopg2.Error) -> str:
        cause = " ".join(str(error).split())
        where = without_password(self._admin_url)
        return f"cannot {action} on {where}: {cause}; `assay doctor` shows what the server lacks"
