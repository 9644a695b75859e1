"""Every order of a gate, against a real PostgreSQL, as two drivers see it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import psycopg2
import psycopg2.errors
import pytest
from psycopg import pq
from psycopg.generators import fetch

from attacks.postgres import failing
from attacks.postgres.gate import Fail, ForwardOrder, Reset
from attacks.postgres.trace import SessionInfo, Step
from engine.stores import PostgresServer
from tests.integration.proxy_gates import WAIT_S, Orders, Parking, proxied

DATABASE = "proxy_faults"
DRIVERS: dict[str, Callable[[str], Any]] = {
    "psycopg2": psycopg2.connect,
    "psycopg": psycopg.connect,
}
ERRORS = (psycopg2.Error, psycopg.Error)
ENDINGS = ("server closed the connection", "Connection reset", "connection to server")
UPDATE = "UPDATE coins SET value = value + %s WHERE id = 1"


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[str]:
    created = postgres.create_database(DATABASE)
    with psycopg.connect(created) as connection:
        connection.execute("CREATE TABLE coins (id int PRIMARY KEY, value int)")
    yield created
    postgres.drop_database(DATABASE)


@pytest.fixture
def url(database: str) -> str:
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM coins")
        connection.execute("INSERT INTO coins VALUES (1, 100), (2, 100)")
    return database


@pytest.fixture(params=list(DRIVERS))
def connect(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    return DRIVERS[request.param]


def value_of(url: str, row: int = 1) -> int:
    with psycopg.connect(url) as connection:
        (value,) = connection.execute("SELECT value FROM coins WHERE id = %s", (row,)).fetchone()  # type: ignore[misc]
    return int(value)


def sqlstate(error: BaseException) -> str | None:
    return getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)


def wait_until_gone(url: str, pid: int) -> None:
    """The server notices the end of a connection a little later."""
    until_s = time.monotonic() + WAIT_S
    with psycopg.connect(url, autocommit=True) as watcher:
        while time.monotonic() < until_s:
            asking = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
            if watcher.execute(asking, (pid,)).fetchone() is None:
                return
    raise AssertionError(f"backend {pid} is still there")


@pytest.mark.parametrize("code", ["40001", "40P01", "55P03", "57014", "P0001"])
def test_the_database_fails_in_the_place_of_a_step(
    url: str, connect: Callable[[str], Any], code: str
) -> None:
    gate = Orders(on_arrival={"UPDATE": Fail(sqlstate=code)})
    with proxied(url, gate) as place, closing(connect(place.url)) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO coins VALUES (%s, 0)", (3,))
        with pytest.raises(ERRORS) as failed:
            cursor.execute(UPDATE, (1,))
        assert sqlstate(failed.value) == code
        assert failing.message_text(code) in str(failed.value)
        assert "PL/pgSQL" not in str(failed.value)
        with pytest.raises(ERRORS) as aborted:
            cursor.execute("SELECT 1")
        assert sqlstate(aborted.value) == "25P02"
        connection.rollback()
        cursor.execute("SELECT count(*) FROM coins")
        assert cursor.fetchall() == [(2,)]
        reply = next(r.reply for r in place.recorded if "UPDATE" in r.step.sql)
        assert (reply.sqlstate, reply.status, reply.tag, reply.lost) == (code, "E", None, False)
        assert [r for r in gate.replies if r.sqlstate == code] == [reply]
    assert value_of(url) == 100


def test_outside_a_database_transaction(url: str, connect: Callable[[str], Any]) -> None:
    gate = Orders(on_arrival={"UPDATE": Fail(sqlstate="40001")})
    with proxied(url, gate) as place, closing(connect(place.url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        with pytest.raises(ERRORS):
            cursor.execute(UPDATE, (1,))
        gate.on_arrival.clear()
        cursor.execute(UPDATE, (5,))
        assert cursor.rowcount == 1
        assert [r.status for r in gate.replies] == ["I", "I"]
    assert value_of(url) == 105


def test_a_commit_fails(url: str, connect: Callable[[str], Any]) -> None:
    gate = Orders(on_arrival={"COMMIT": Fail(sqlstate="40001")})
    with proxied(url, gate) as place, closing(connect(place.url)) as connection:
        connection.cursor().execute(UPDATE, (1,))
        with pytest.raises(ERRORS) as failed:
            connection.commit()
        assert sqlstate(failed.value) == "40001"
        connection.rollback()
    assert value_of(url) == 100


@pytest.mark.parametrize("code", ["53300", "57P01"])
def test_a_fatal_error_ends_the_session(url: str, connect: Callable[[str], Any], code: str) -> None:
    gate = Orders(on_arrival={"UPDATE": Fail(sqlstate=code)})
    with proxied(url, gate) as place:
        connection = connect(place.url)
        pid = connection.info.backend_pid
        cursor = connection.cursor()
        cursor.execute("INSERT INTO coins VALUES (3, 0)")
        with pytest.raises(ERRORS) as failed:
            cursor.execute(UPDATE, (1,))
        # psycopg2 forgets the text when the connection closes behind it, without a proxy too.
        texts = ENDINGS if connect is psycopg2.connect else (failing.message_text(code),)
        assert any(text in str(failed.value) for text in texts)
        assert connection.closed or connection.broken
        assert gate.replies[-1].sqlstate == code
        wait_until_gone(url, pid)
        connection.close()
        assert gate.calls.count(("closed", 1)) == 1
    assert value_of(url) == 100


@pytest.mark.parametrize("prepared", [True, False])
def test_the_next_execution_of_a_failed_prepared_statement(url: str, prepared: bool) -> None:
    gate = Orders(on_arrival={"UPDATE": Fail(sqlstate="40001")})
    with proxied(url, gate) as place, psycopg.connect(place.url) as connection:
        for _ in range(3):
            with pytest.raises(psycopg.errors.SerializationFailure):
                connection.execute(UPDATE, (1,), prepare=prepared)
            connection.rollback()
        gate.on_arrival.clear()
        for _ in range(2):
            connection.execute(UPDATE, (10,), prepare=prepared)
        assert gate.steps[-1].sql == UPDATE.replace("%s", "$1")
        assert gate.steps[-1].parameters == ("10",)
    assert value_of(url) == 120


def test_a_prepared_statement_of_asyncpg_fails_and_works_again(url: str) -> None:
    gate = Orders()

    async def use(url: str) -> None:
        connection = await asyncpg.connect(url, statement_cache_size=0)
        statement = await connection.prepare(UPDATE.replace("%s", "$1"))
        gate.on_arrival["UPDATE"] = Fail(sqlstate="40P01")
        for _ in range(2):
            with pytest.raises(asyncpg.DeadlockDetectedError):
                await statement.fetch(1)
        gate.on_arrival.clear()
        await statement.fetch(5)
        await connection.close()

    with proxied(url, gate) as place:
        asyncio.run(use(place.url))
    assert value_of(url) == 105


def test_a_part_of_a_pipeline_fails(url: str) -> None:
    gate = Orders(on_arrival={"id = 2": Fail(sqlstate="40001")})
    with proxied(url, gate) as place, psycopg.connect(place.url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.SerializationFailure):
            _three_updates(connection)
        assert [s.ends_with_sync for s in gate.steps if s.kind == "execute"][:2] == [False, False]
        assert "id = 3" not in [s.sql for s in gate.steps]
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert (value_of(url, 1), value_of(url, 2)) == (100, 100)


def _three_updates(connection: psycopg.Connection[Any]) -> None:
    with connection.pipeline():
        for row in (1, 2, 3):
            connection.execute(f"UPDATE coins SET value = %s WHERE id = {row}", (0,))


class AtSync(Orders):
    """Lets a Sync fail that ends a pipeline's implicit database transaction."""

    def arrived(self, session: SessionInfo, step: Step) -> ForwardOrder:
        order = super().arrived(session, step)
        return Fail(sqlstate="23505") if step.kind == "sync" else order


def _statuses(url: str, sql: str) -> list[Any]:
    """A statement and its result, and only then the Sync: what each is answered."""
    with psycopg.connect(url, autocommit=True) as connection:
        low = connection.pgconn
        low.enter_pipeline_mode()
        low.send_query_params(sql.encode(), None)
        low.send_flush_request()
        low.flush()
        seen: list[Any] = [_result(connection)]
        low.pipeline_sync()
        while seen[-1] != pq.ExecStatus.PIPELINE_SYNC:
            seen.append(_result(connection))
        low.exit_pipeline_mode()
        return [*seen, connection.execute("SELECT 1").fetchone()]


def _result(connection: psycopg.Connection[Any]) -> Any:
    """The next one; none of them stands for the end of a statement."""
    low = connection.pgconn
    found = connection.wait(fetch(low)) or connection.wait(fetch(low))
    assert found
    code = found.error_field(pq.DiagnosticField.SQLSTATE)
    return (found.status, code) if code else found.status


def test_the_sync_that_ends_a_pipeline_fails_as_with_a_deferred_constraint(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE late (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    direct = _statuses(url, "INSERT INTO late VALUES (1), (1)")
    gate = AtSync()
    with proxied(url, gate) as place:
        assert _statuses(place.url, "INSERT INTO late VALUES (1), (2)") == direct
        assert [(s.kind, s.ends_with_sync) for s in gate.steps] == [
            ("execute", False),
            ("sync", True),
            ("query", True),
        ]
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT * FROM late").fetchall() == []


def test_reset_before_the_database_sees_the_step(url: str, connect: Callable[[str], Any]) -> None:
    gate = Orders(on_arrival={"UPDATE": Reset()})
    with proxied(url, gate) as place:
        connection = connect(place.url)
        pid = connection.info.backend_pid
        with pytest.raises(ERRORS) as failed:
            connection.cursor().execute(UPDATE, (1,))
        assert any(ending in str(failed.value) for ending in ENDINGS)
        wait_until_gone(url, pid)
        assert [kind for kind, _ in gate.calls].count("closed") == 1
        assert "UPDATE" not in str(place.steps())
        connection.close()
    assert value_of(url) == 100


def test_the_lost_acknowledgement(url: str, connect: Callable[[str], Any]) -> None:
    gate = Orders(on_reply={"COMMIT": Reset()})
    with proxied(url, gate) as place:
        connection = connect(place.url)
        connection.cursor().execute(UPDATE, (1,))
        with pytest.raises(ERRORS) as failed:
            connection.commit()
        assert any(ending in str(failed.value) for ending in ENDINGS)
        assert (gate.replies[-1].tag, gate.replies[-1].status) == ("COMMIT", "I")
        assert [kind for kind, _ in gate.calls].count("closed") == 1
        assert place.recorded[-1].reply.tag == "COMMIT"
        connection.close()
    assert value_of(url) == 101


def test_rows_are_not_relayed_before_the_order(url: str, connect: Callable[[str], Any]) -> None:
    gate = Orders(on_reply={"generate_series": Reset()})
    with proxied(url, gate) as place:
        connection = connect(place.url)
        with pytest.raises(ERRORS):
            connection.cursor().execute("SELECT i FROM generate_series(1, 200000) i")
        assert gate.replies[-1].row_count == 200_000
        assert gate.replies[-1].rows[:2] == (("1",), ("2",))
        connection.close()


def test_a_copy_fails(url: str) -> None:
    gate = Orders(on_arrival={"COPY": Fail(sqlstate="55P03")})
    with proxied(url, gate) as place, psycopg.connect(place.url) as connection:
        with pytest.raises(psycopg.errors.LockNotAvailable):
            _copy(connection)
        connection.rollback()
        gate.on_arrival.clear()
        _copy(connection)
    assert value_of(url, 7) == 7


def _copy(connection: psycopg.Connection[Any]) -> None:
    with connection.cursor().copy("COPY coins FROM STDIN") as copy:
        copy.write_row((7, 7))


def test_a_step_that_was_cancelled_while_parked_fails(url: str) -> None:
    gate = Parking("UPDATE")
    with proxied(url, gate) as place, psycopg.connect(place.url) as connection:

        def cancel() -> None:
            assert gate.parked.wait(WAIT_S)
            connection.cancel_safe()
            gate.release()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        with pytest.raises(psycopg.errors.QueryCanceled, match="due to user request"):
            connection.execute(UPDATE, (1,))
        canceller.join()
        connection.rollback()
        connection.execute("SELECT 1")
    assert value_of(url) == 100


def test_a_cancel_for_an_idle_session_is_dropped(url: str) -> None:
    gate = Orders()
    with proxied(url, gate) as place, psycopg.connect(place.url) as connection:
        connection.execute("SELECT 1")
        connection.cancel_safe()
        for _ in range(20):
            connection.execute("SELECT pg_sleep(0.005)")


def test_what_is_an_sqlstate_of_an_error() -> None:
    assert not failing.is_sqlstate("4000'")
    assert not failing.is_sqlstate("00000")
    assert failing.is_sqlstate("40P01")
