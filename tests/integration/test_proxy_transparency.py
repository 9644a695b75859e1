"""The same calls give equal results with and without the proxy, recording or gated."""

import asyncio
import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import psycopg2
import psycopg2.errors
import psycopg2.extensions
import pytest

from engine.stores import PostgresServer
from tests.integration.proxy_gates import WAIT_S, Orders, Place, proxied

DATABASE = "proxy_transparency"
TABLE = """
CREATE TABLE coins (id int PRIMARY KEY, name text, value numeric(12, 2) CHECK (value >= 0));
INSERT INTO coins SELECT i, 'coin ' || i, i FROM generate_series(1, 30) i;
CREATE FUNCTION noisy() RETURNS int LANGUAGE plpgsql
AS $$BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; RETURN 3; END$$;
"""
LARGE_BYTES = 5_000_000


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    created = postgres.create_database(DATABASE)
    with closing(psycopg2.connect(created)) as connection, connection.cursor() as cursor:
        cursor.execute(TABLE)
        connection.commit()
    yield created
    postgres.drop_database(DATABASE)


@pytest.fixture(params=["recording", "gated"])
def place(request: pytest.FixtureRequest, url: str) -> Iterator[Place]:
    with proxied(url, Orders() if request.param == "gated" else None) as opened:
        yield opened


def compare(place: Place, run: Callable[[str], Any]) -> Any:
    direct = run(place.direct_url)
    assert run(place.url) == direct
    assert not place.proxy.problems
    return direct


def _reset(url: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM coins WHERE id > 30; UPDATE coins SET value = id")
        connection.commit()


def _psycopg2_simple(url: str) -> list[Any]:
    seen: list[Any] = []
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, name, value FROM coins WHERE id < %s ORDER BY id", (9,))
        seen += [cursor.fetchall(), cursor.description, cursor.statusmessage]
        cursor.execute("UPDATE coins SET value = value + 1 WHERE id < %s", (5,))
        seen += [cursor.rowcount, connection.info.transaction_status]
        connection.rollback()
        cursor.execute("SELECT noisy(); SELECT 1; SELECT 'last'")
        seen += [cursor.fetchall(), list(connection.notices)]
        seen += [connection.info.transaction_status, connection.encoding]
        connection.commit()
    return seen


def test_psycopg2(place: Place) -> None:
    compare(place, _psycopg2_simple)


def test_errors_in_database_transactions(place: Place) -> None:
    def run(url: str) -> list[Any]:
        seen: list[Any] = []
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            for sql in (
                "INSERT INTO coins VALUES (1, 'again', 1)",
                "SELECT 1",
                "COMMIT",
                "UPDATE coins SET value = -1 WHERE id = 2",
                "ROLLBACK",
                "SELEKT",
            ):
                try:
                    cursor.execute(sql)
                    seen.append(cursor.statusmessage)
                except psycopg2.Error as error:
                    shown = (error.pgcode, error.pgerror, error.diag.constraint_name)
                    seen.append((shown, error.diag.source_line))
                seen.append(connection.info.transaction_status)
        return seen

    assert any("23505" in str(one) for one in compare(place, run))


def test_copy_in_and_out_with_psycopg2(place: Place) -> None:
    def run(url: str) -> list[Any]:
        _reset(place.direct_url)
        lines = "".join(f"{i}\tcopied {i}\t{i}\n" for i in range(31, 3_031))
        copied = io.StringIO()
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.copy_expert("COPY coins FROM STDIN", io.StringIO(lines))
            seen: list[Any] = [cursor.rowcount]
            cursor.copy_expert("COPY (SELECT * FROM coins ORDER BY id) TO STDOUT", copied)
            connection.rollback()
            with pytest.raises(psycopg2.errors.BadCopyFileFormat) as error:
                cursor.copy_expert("COPY coins FROM STDIN", io.StringIO("1\n" * 500_000))
            seen += [copied.getvalue(), error.value.pgcode, error.value.pgerror]
            connection.rollback()
            cursor.execute("SELECT count(*) FROM coins")
            return [*seen, cursor.fetchone()]

    assert compare(place, run)[-1] == (30,)


def test_rows_of_five_megabytes(place: Place) -> None:
    def run(url: str) -> list[Any]:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT i, repeat('x', {LARGE_BYTES}) FROM generate_series(1, 3) i")
            rows = [(number, len(text), text[-3:]) for number, text in cursor.fetchall()]
            cursor.execute("SELECT length(%s)", ("y" * LARGE_BYTES,))
            return [rows, cursor.fetchone(), _many_rows(cursor)]

    assert compare(place, run)[1] == (LARGE_BYTES,)


def _many_rows(cursor: psycopg2.extensions.cursor) -> Any:
    cursor.execute("SELECT i, 'row ' || i FROM generate_series(1, 50000) i")
    return cursor.fetchall()[::5000]


def test_psycopg_simple_and_extended(place: Place) -> None:
    def run(url: str) -> list[Any]:
        seen: list[Any] = []
        with psycopg.connect(url) as connection:
            notices: list[Any] = []
            connection.add_notice_handler(lambda d: notices.append(d.message_primary))
            for prepare in (False, True, True):
                found = connection.execute(
                    "SELECT id, name FROM coins WHERE id < %s AND name <> %s ORDER BY 1",
                    (9, "coin 3"),
                    prepare=prepare,
                )
                seen += [found.fetchall(), found.statusmessage]
            for number in range(8):
                seen.append(connection.execute("SELECT %s + 1", (number,)).fetchone())
            seen.append(connection.execute("SELECT noisy()").fetchone())
            with pytest.raises(psycopg.errors.UniqueViolation) as error:
                connection.execute("INSERT INTO coins VALUES (%s, 'again', 1)", (1,))
            seen += [error.value.sqlstate, str(error.value), notices]
            connection.rollback()
        return seen

    compare(place, run)


def test_psycopg_binary_cursor_and_copy(place: Place) -> None:
    def run(url: str) -> list[Any]:
        _reset(place.direct_url)
        with psycopg.connect(url) as connection:
            cursor = connection.cursor(binary=True)
            cursor.execute("SELECT id, value, now() - now() FROM coins WHERE id = %b", (7,))
            seen: list[Any] = [cursor.fetchall()]
            with cursor.copy("COPY coins (id, name) FROM STDIN") as copy:
                for number in range(100, 2_100):
                    copy.write_row((number, "x" * 50))
            with cursor.copy("COPY (SELECT id, name FROM coins ORDER BY 1) TO STDOUT") as copy:
                seen.append(list(copy.rows()))
            connection.rollback()
            seen.append(list(cursor.stream("SELECT i FROM generate_series(1, 3000) i")))
        return seen

    compare(place, run)


def _divide_in_a_pipeline(connection: psycopg.Connection[Any]) -> None:
    with connection.pipeline() as pipeline:
        connection.execute("INSERT INTO coins VALUES (99, 'gone', 1)")
        connection.execute("SELECT 1 / %s", (0,))
        connection.execute("INSERT INTO coins VALUES (98, 'never', 1)")
        pipeline.sync()


def test_psycopg_pipeline(place: Place) -> None:
    def run(url: str) -> list[Any]:
        seen: list[Any] = []
        with psycopg.connect(url, autocommit=True) as connection:
            with connection.pipeline():
                first = connection.execute("SELECT %s::int", (1,))
                second = connection.execute("UPDATE coins SET value = value WHERE id = %s", (1,))
                third = connection.execute("SELECT name FROM coins WHERE id < 4 ORDER BY id")
                seen += [third.fetchall(), first.fetchone(), second.rowcount]
            with pytest.raises(psycopg.errors.DivisionByZero):
                _divide_in_a_pipeline(connection)
            seen.append(connection.execute("SELECT count(*) FROM coins WHERE id > 90").fetchone())
            with connection.pipeline(), connection.transaction():
                connection.execute("INSERT INTO coins VALUES (97, 'kept', 1)")
            seen.append(connection.execute("DELETE FROM coins WHERE id = 97").rowcount)
        return seen

    assert compare(place, run)[-1] == 1


def test_asyncpg(place: Place) -> None:
    async def use(connection: asyncpg.Connection) -> list[Any]:
        seen: list[Any] = []
        for limit in (3, 5):
            rows = await connection.fetch("SELECT * FROM coins WHERE id < $1 ORDER BY id", limit)
            seen.append([tuple(row) for row in rows])
        prepared = await connection.prepare("SELECT $1::int8[] AS a, $2::uuid AS u")
        number = "00000000-0000-0000-0000-000000000007"
        seen += [tuple(await prepared.fetchrow([1, None, 3], number) or ())] * 2
        async with connection.transaction(isolation="repeatable_read"):
            cursor = await connection.cursor("SELECT i FROM generate_series(1, 500) i")
            seen += [[r[0] for r in await cursor.fetch(7)], [r[0] for r in await cursor.fetch(5)]]
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO coins VALUES ($1, 'again', 1)", 1)
        except asyncpg.UniqueViolationError as error:
            seen.append(str(error))
        await connection.executemany("UPDATE coins SET name = name WHERE id = $1", [(1,), (2,)])
        async with connection.transaction():
            seen.append(
                await connection.copy_records_to_table(
                    "coins", records=[(i, "copied", i) for i in range(200, 1_200)]
                )
            )
            copied = io.BytesIO()
            seen.append(
                await connection.copy_from_query("SELECT id FROM coins ORDER BY id", output=copied)
            )
            seen.append(copied.getvalue())
            await connection.execute("DELETE FROM coins WHERE id > 30")
        return seen

    async def connect(url: str) -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return await use(connection)
        finally:
            await connection.close()

    compare(place, lambda url: asyncio.run(connect(url)))


def test_asyncpg_without_a_statement_cache(place: Place) -> None:
    async def use(url: str) -> list[Any]:
        connection = await asyncpg.connect(url, statement_cache_size=0)
        try:
            rows = [await connection.fetch("SELECT $1::int + 1", i) for i in range(3)]
            return [tuple(row[0]) for row in rows]
        finally:
            await connection.close()

    assert compare(place, lambda url: asyncio.run(use(url))) == [(1,), (2,), (3,)]


# psycopg2 keeps Python's lock while it cancels: in one process the proxy would wait for it.
CANCELLING = """
import sys, threading, psycopg2
url, direct = sys.argv[1:]
connection = psycopg2.connect(url)
def cancel():
    asking = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    with psycopg2.connect(direct) as watcher, watcher.cursor() as cursor:
        watcher.autocommit = True
        while not cursor.rowcount == 1:
            cursor.execute(asking, (connection.info.backend_pid,))
    connection.cancel()
threading.Thread(target=cancel).start()
cursor = connection.cursor()
try:
    cursor.execute("SELECT pg_sleep(60)")
except psycopg2.Error as error:
    print(error.pgcode, error.pgerror)
connection.rollback()
cursor.execute("SELECT 7")
print(cursor.fetchall())
"""


def test_psycopg2_cancels(place: Place) -> None:
    def run(url: str) -> str:
        command = [sys.executable, "-c", CANCELLING, url, place.direct_url]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "57014 ERROR:  canceling statement due to user request" in compare(place, run)


def test_psycopg_cancels(place: Place) -> None:
    def run(url: str) -> Any:
        with psycopg.connect(url) as connection:
            pid = connection.info.backend_pid
            canceller = threading.Thread(
                target=lambda: _when_asleep(place, pid, connection.cancel_safe)
            )
            canceller.start()
            with pytest.raises(psycopg.errors.QueryCanceled) as error:
                connection.execute("SELECT pg_sleep(%s)", (60,))
            canceller.join()
            connection.rollback()
            return [str(error.value), connection.execute("SELECT 7").fetchall()]

    assert compare(place, run)[1] == [(7,)]


def _when_asleep(place: Place, pid: int, do: Callable[[], None]) -> None:
    asking = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    with psycopg.connect(place.direct_url, autocommit=True) as watcher:
        until_s = time.monotonic() + WAIT_S
        while time.monotonic() < until_s:
            if watcher.execute(asking, (pid,)).fetchone():
                break
    do()


def test_asyncpg_cancels(place: Place) -> None:
    async def use(url: str) -> Any:
        connection = await asyncpg.connect(url)
        try:
            pid = connection.get_server_pid()
            sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
            await asyncio.to_thread(_when_asleep, place, pid, lambda: None)
            sleeping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sleeping
            return await connection.fetchval("SELECT 7")
        finally:
            await connection.close()

    assert compare(place, lambda url: asyncio.run(use(url))) == 7


def test_notifications_come_while_nothing_is_asked(place: Place) -> None:
    def run(url: str) -> Any:
        with psycopg.connect(url, autocommit=True) as listener:
            listener.execute("LISTEN coins")
            with psycopg.connect(url, autocommit=True) as speaker:
                speaker.execute("SELECT pg_notify('coins', 'two')")
            return [n.payload for n in listener.notifies(timeout=10, stop_after=1)]

    assert compare(place, run) == ["two"]


def test_protocol_3_2_is_negotiated(place: Place) -> None:
    def run(url: str) -> Any:
        with psycopg.connect(f"{url}?max_protocol_version=3.2") as connection:
            connection.execute("SELECT 1")
            return [connection.pgconn.full_protocol_version, connection.pgconn.used_password]

    assert compare(place, run) == [30002, True]


def test_a_wrong_password_is_refused_as_the_database_does(place: Place) -> None:
    def run(url: str) -> Any:
        with pytest.raises(psycopg2.OperationalError) as error:
            psycopg2.connect(url, password="wrong")
        return re.sub(r"port \d+", "port", str(error.value))

    assert "password authentication failed" in compare(place, run)


def test_sixteen_sessions_at_once(place: Place) -> None:
    def work(number: int, url: str, found: dict[int, Any]) -> None:
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            for _ in range(20):
                cursor.execute("SELECT %s, name FROM coins WHERE id = %s", (number, number))
                found[number] = cursor.fetchall()
                connection.commit()

    def run(url: str) -> dict[int, Any]:
        found: dict[int, Any] = {}
        threads = [threading.Thread(target=work, args=(i, url, found)) for i in range(1, 17)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    assert len(compare(place, run)) == 16
