"""What is recorded: each driver's statements as steps, and values as PostgreSQL prints them."""

import asyncio
import threading
import time
from collections.abc import Iterator

import asyncpg  # type: ignore[import-untyped]
import psycopg
import psycopg2
import pytest

from attacks.postgres.trace import CHARACTERS_KEPT, ROWS_KEPT
from engine.stores import PostgresServer
from tests.integration.proxy_gates import WAIT_S, Orders, Place, proxied

DATABASE = "proxy_steps"
UPDATE = "UPDATE coins SET value = value + $1 WHERE id = $2"
PRINTED = (
    "true, false, NULL::int",
    "(-5)::int2, 70000::int4, (-9223372036854775808)::int8, 7::oid",
    "1.5::float4, 0.1::float4, 1e20::float4, 'NaN'::float4, 16777217::float4, 1e-7::float4",
    "1.5::float8, 0.1::float8, 1e20::float8, 1e15::float8, 1e16::float8, '-Infinity'::float8",
    "123456789.25::float8, 1e-5::float8, 0.0001::float8, 123456::float4, 1234567::float4",
    "12.50::numeric, -0.00001::numeric, 100000000::numeric, 1e30::numeric, 'NaN'::numeric",
    "0::numeric, 10000.0001::numeric(20,8), 'Infinity'::numeric, 0.1::numeric, 99999.9::numeric",
    "'a b'::text, 'ab'::varchar, 'ab'::char(4), 'n'::name, 'q'::\"char\", ''::text, 'é€😀'::text",
    "'{\"a\": [1, 2]}'::json, '{\"a\": [1, 2]}'::jsonb",
    "'8e3a0f3e-6a1c-4f4e-9c55-0d8f6c1f0a11'::uuid, '\\xdeadbeef'::bytea, ''::bytea",
    "'2026-11-21'::date, '1999-12-31'::date, 'infinity'::date, '0001-01-01'::date",
    "'2026-11-21 10:11:12.345'::timestamp, '1970-01-01'::timestamp, '-infinity'::timestamp",
    "'2026-11-21 10:11:12.000001+02'::timestamptz, 'infinity'::timestamptz, '10:11:12.5'::time",
    '\'{1,NULL,-3}\'::int8[], \'{}\'::text[], \'{a,"b c",NULL,"NULL","","q\\"\\\\"}\'::text[]',
    "'{8e3a0f3e-6a1c-4f4e-9c55-0d8f6c1f0a11}'::uuid[], '{{1,2},{3,4}}'::int4[]",
    "'[2:3]={1,2}'::int4[], '{1.5,2.25}'::numeric[], '{t,f}'::bool[], '{0.5}'::float8[]",
    "'{2026-11-21}'::date[], '{\"2026-11-21 00:00:00+00\"}'::timestamptz[], '{1}'::int2[]",
)


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    created = postgres.create_database(DATABASE)
    with psycopg.connect(created) as connection:
        connection.execute("CREATE TABLE coins (id int PRIMARY KEY, value numeric)")
        connection.execute("INSERT INTO coins VALUES (1, 10), (2, 20)")
    yield created
    postgres.drop_database(DATABASE)


@pytest.fixture(params=["recording", "gated"])
def place(request: pytest.FixtureRequest, url: str) -> Iterator[Place]:
    with proxied(url, Orders() if request.param == "gated" else None) as opened:
        yield opened


@pytest.mark.parametrize("listed", PRINTED)
def test_binary_values_are_printed_as_postgresql_prints_them(place: Place, listed: str) -> None:
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute("SET bytea_output = 'hex'")
        as_text = f"SELECT {listed}"
        connection.execute(as_text)
        connection.cursor(binary=True).execute(as_text)
    shown = [one.reply.rows for one in place.recorded if one.step.sql == as_text]
    assert len(shown) == 2
    assert shown[0] == shown[1]


def test_psycopg2(place: Place) -> None:
    with psycopg2.connect(place.url) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE coins SET value = value + %s WHERE id = %s", (5, 1))
        cursor.execute("SELECT value FROM coins WHERE id = %s FOR UPDATE", (1,))
        connection.rollback()
    assert [(r.step.kind, r.step.sql, r.reply.tag, r.reply.status) for r in place.recorded] == [
        ("query", "BEGIN", "BEGIN", "T"),
        ("query", "UPDATE coins SET value = value + 5 WHERE id = 1", "UPDATE 1", "T"),
        ("query", "SELECT value FROM coins WHERE id = 1 FOR UPDATE", "SELECT 1", "T"),
        ("query", "ROLLBACK", "ROLLBACK", "I"),
    ]
    selected = place.recorded[2].reply
    assert (selected.columns, selected.rows, selected.row_count) == (("value",), (("15",),), 1)
    assert [r.step.status_before for r in place.recorded] == ["I", "T", "T", "T"]


def test_psycopg(place: Place) -> None:
    with psycopg.connect(place.url) as connection:
        for prepare in (False, True, True):
            connection.execute(
                UPDATE.replace("$1", "%s").replace("$2", "%s"), (5, 1), prepare=prepare
            )
        connection.rollback()
    executed = [r for r in place.recorded if r.step.sql == UPDATE and r.step.kind == "execute"]
    assert [r.step.parameters for r in executed] == [("5", "1")] * 3
    assert [r.reply.tag for r in executed] == ["UPDATE 1"] * 3
    assert [r.step.number for r in place.recorded] == list(range(1, len(place.recorded) + 1))


def test_asyncpg(place: Place) -> None:
    async def use() -> None:
        connection = await asyncpg.connect(place.url)
        async with connection.transaction():
            for _ in range(2):
                await connection.execute(UPDATE, 5, 1)
        await connection.execute("UPDATE coins SET value = 10 WHERE id = 1")
        await connection.close()

    asyncio.run(use())
    assert [(r.step.kind, r.step.sql, r.step.parameters, r.reply.tag) for r in place.recorded] == [
        ("query", "BEGIN;", (), "BEGIN"),
        ("prepare", UPDATE, (), None),
        ("execute", UPDATE, ("5", "1"), "UPDATE 1"),
        ("execute", UPDATE, ("5", "1"), "UPDATE 1"),
        ("query", "COMMIT;", (), "COMMIT"),
        ("query", "UPDATE coins SET value = 10 WHERE id = 1", (), "UPDATE 1"),
    ]


def test_a_pipeline_of_psycopg(place: Place) -> None:
    with psycopg.connect(place.url, autocommit=True) as connection, connection.pipeline():
        for row in (1, 2):
            connection.execute("SELECT value FROM coins WHERE id = %s", (row,))
    found = [(r.step.kind, r.step.parameters, r.step.ends_with_sync) for r in place.recorded]
    assert found == [("execute", ("1",), False), ("execute", ("2",), True)]
    assert [r.reply.rows for r in place.recorded] == [(("10",),), (("20",),)]


def test_a_commit_of_a_failed_transaction_has_the_tag_rollback(place: Place) -> None:
    with psycopg.connect(place.url) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM nowhere")
        connection.commit()
    failed, committed = place.recorded[-2:]
    assert (failed.reply.sqlstate, failed.reply.status, failed.reply.tag) == ("42P01", "E", None)
    assert failed.reply.message == 'relation "nowhere" does not exist'
    assert (committed.step.sql, committed.reply.tag) == ("COMMIT", "ROLLBACK")


def test_many_rows_are_counted(place: Place) -> None:
    with psycopg.connect(place.url) as connection:
        connection.execute("SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) i")
    reply = place.recorded[-2].reply
    assert (reply.row_count, len(reply.rows), reply.rows[1][0]) == (30_000, ROWS_KEPT, "2")
    assert len(reply.rows[0][1] or "") == CHARACTERS_KEPT


def test_copy_is_one_step_and_its_data_is_none(place: Place) -> None:
    with psycopg.connect(place.url) as connection:
        with connection.cursor().copy("COPY coins FROM STDIN") as copy:
            for number in range(100, 5_000):
                copy.write_row((number, number))
        connection.rollback()
    found = [(r.step.kind, r.step.sql, r.reply.tag) for r in place.recorded]
    assert found[1] == ("query", "COPY coins FROM STDIN", "COPY 4900")
    assert len(found) == 3


def test_times_say_how_long_a_lock_was_waited_for(place: Place) -> None:
    with psycopg.connect(place.direct_url) as holder, psycopg.connect(place.url) as waiter:
        holder.execute("SELECT 1 FROM coins WHERE id = 1 FOR UPDATE")
        waiting = threading.Thread(
            target=waiter.execute, args=("SELECT 2 FROM coins WHERE id = 1 FOR UPDATE",)
        )
        waiting.start()
        _wait_until_blocked(place.direct_url, waiter.info.backend_pid)
        released_s = time.monotonic()
        holder.commit()
        waiting.join()
        waiter.rollback()
    one = next(r for r in place.recorded if "SELECT 2" in r.step.sql)
    assert one.arrived_s <= one.forwarded_s < released_s < one.replied_s <= one.relayed_s


def _wait_until_blocked(url: str, pid: int) -> None:
    until_s = time.monotonic() + WAIT_S
    with psycopg.connect(url, autocommit=True) as watcher:
        while time.monotonic() < until_s:
            if watcher.execute("SELECT 1 WHERE pg_blocking_pids(%s) <> '{}'", (pid,)).fetchone():
                return
    raise AssertionError("nobody waits")
