"""A session beside the service's: it holds a row, sees who waits for it, and cuts who it names."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from attacks.postgres.side_session import SideSession, SideSessionError
from engine.stores import PostgresServer, free_port

LOCK = "SELECT 1 FROM coins WHERE id = %s FOR UPDATE"
DATABASE = "side_session"


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    created = postgres.create_database(DATABASE)
    with closing(psycopg2.connect(created)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE coins AS SELECT generate_series(1, 3) AS id, 0 AS value")
        connection.commit()
    yield created
    postgres.drop_database(DATABASE)


class Writer:
    """The service's part: a session that updates one row."""

    def __init__(self, url: str, row: int) -> None:
        self.error: psycopg2.Error | None = None
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self.pid = self._connection.info.backend_pid
        self._thread = threading.Thread(target=self._write, args=(row,), daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()
        self._connection.close()

    def _write(self, row: int) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("UPDATE coins SET value = value + 1 WHERE id = %s", (row,))
        except psycopg2.Error as error:
            self.error = error


def _value(url: str, row: int) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT value FROM coins WHERE id = %s", (row,))
        found = cursor.fetchone()
    assert found
    return int(found[0])


def test_it_sees_who_waits_and_lets_go(url: str) -> None:
    with SideSession(url) as side:
        side.hold(LOCK, (1,))
        writer = Writer(url, 1)
        assert side.wait_for_waiter() == writer.pid
        assert _value(url, 1) == 0
        side.release()
        writer.join()
        assert _value(url, 1) == 1
        assert writer.error is None


def test_it_cuts_the_session_that_waits(url: str) -> None:
    with SideSession(url) as side:
        side.hold(LOCK, (2,))
        writer = Writer(url, 2)
        waiter = side.wait_for_waiter()
        assert waiter == writer.pid
        side.end_session(waiter)
        writer.join()
        assert isinstance(writer.error, psycopg2.OperationalError)
        side.release()
    assert _value(url, 2) == 0


def test_who_waits_for_somebody_else_is_not_named(url: str) -> None:
    with SideSession(url) as side, SideSession(url) as other:
        other.hold(LOCK, (3,))
        writer = Writer(url, 3)
        assert other.wait_for_waiter() == writer.pid
        assert side.wait_for_waiter(deadline_s=0.05) is None
        other.release()
        writer.join()


def test_nobody_comes_and_the_deadline_passes(url: str) -> None:
    with SideSession(url) as side:
        side.hold(LOCK, (1,))
        began_s = time.monotonic()
        assert side.wait_for_waiter(deadline_s=0.1) is None
        assert 0.1 <= time.monotonic() - began_s < 1


def test_leaving_releases_what_was_held(url: str) -> None:
    with SideSession(url) as side:
        side.hold(LOCK, (1,))
    writer = Writer(url, 1)
    writer.join()
    assert writer.error is None


def test_an_unreachable_database_is_one_clear_line() -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    with pytest.raises(SideSessionError, match="no side session on the service's database: ") as e:
        SideSession(nowhere)
    assert "\n" not in str(e.value)
