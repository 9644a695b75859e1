"""The observer beside real sessions: who waits, what is held, what became of a transaction."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest

from attacks.postgres.observer import Observer, ObserverError
from engine.stores import PostgresServer, free_port

DATABASE = "observer"
SCHEMA = """
CREATE TABLE coins (id int PRIMARY KEY, value int NOT NULL DEFAULT 0);
CREATE TABLE notes (id bigserial PRIMARY KEY, coin int REFERENCES coins, body text);
CREATE SCHEMA vault;
CREATE TABLE vault.keys (id int);
INSERT INTO coins SELECT generate_series(1, 3);
CREATE ROLE observer_nobody LOGIN;
CREATE FUNCTION own() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION lower(coins) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
"""


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    created = postgres.create_database(DATABASE)
    with closing(psycopg2.connect(created)) as connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        password = connection.info.password or ""
        cursor.execute("ALTER ROLE observer_nobody PASSWORD %s", (password,))
        connection.commit()
    yield created
    with closing(psycopg2.connect(created)) as connection, connection.cursor() as cursor:
        cursor.execute("DROP OWNED BY observer_nobody; DROP ROLE observer_nobody")
        connection.commit()
    postgres.drop_database(DATABASE)


@pytest.fixture
def observer(url: str) -> Iterator[Observer]:
    with closing(Observer(url)) as opened:
        yield opened


class Client:
    """One of the service's sessions."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg2.connect(url)
        self.pid = self.connection.info.backend_pid

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def revoked(url: str, privilege: str) -> Iterator[None]:
    with closing(Client(url).connection) as connection, connection.cursor() as cursor:
        cursor.execute(f"REVOKE {privilege} FROM PUBLIC")
        connection.commit()
        try:
            yield
        finally:
            cursor.execute(f"GRANT {privilege} TO PUBLIC")
            connection.commit()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    opened = Client(url)
    yield opened
    opened.connection.close()


@pytest.fixture
def other(url: str) -> Iterator[Client]:
    opened = Client(url)
    yield opened
    opened.connection.close()


def wait_until_blocked(observer: Observer, pid: int, pids: list[int]) -> None:
    for _ in range(100_000):
        if observer.blocked(pid, pids):
            return
    pytest.fail("the session was never seen as blocked")


@pytest.mark.parametrize(
    ("hold", "want"),
    [
        ("UPDATE coins SET value = 1 WHERE id = 1", "UPDATE coins SET value = 2 WHERE id = 1"),
        ("LOCK TABLE notes", "SELECT * FROM notes"),
        ("SELECT pg_advisory_xact_lock(7)", "SELECT pg_advisory_xact_lock(7)"),
    ],
    ids=["row", "table", "advisory"],
)
def test_a_blocked_session_is_seen_until_it_goes_on(
    observer: Observer, client: Client, other: Client, hold: str, want: str
) -> None:
    client.run(hold)
    waiting = threading.Thread(target=other.run, args=(want,), daemon=True)
    waiting.start()
    wait_until_blocked(observer, other.pid, [client.pid])
    assert observer.blockers(other.pid) == (client.pid,)
    assert not observer.blocked(client.pid, [other.pid])
    assert observer.blockers(client.pid) == ()
    client.connection.rollback()
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    assert not observer.blocked(other.pid, [client.pid])


def test_it_is_blocked_by_those_named_only(
    observer: Observer, client: Client, other: Client
) -> None:
    client.run("UPDATE coins SET value = 1 WHERE id = 1")
    sql = "UPDATE coins SET value = 2 WHERE id = 1"
    waiting = threading.Thread(target=other.run, args=(sql,), daemon=True)
    waiting.start()
    wait_until_blocked(observer, other.pid, [client.pid])
    assert not observer.blocked(other.pid, [other.pid])
    assert not observer.blocked(other.pid, [])
    client.connection.rollback()
    waiting.join(timeout=10)


def test_without_the_isolation_testers_function_it_asks_for_blocking_pids(
    url: str, client: Client, other: Client
) -> None:
    testers = "EXECUTE ON FUNCTION pg_isolation_test_session_is_blocked(int, int[])"
    with revoked(url, testers), closing(Observer(_as_nobody(url))) as observer:
        client.run("UPDATE coins SET value = 1 WHERE id = 1")
        sql = "UPDATE coins SET value = 2 WHERE id = 1"
        waiting = threading.Thread(target=other.run, args=(sql,), daemon=True)
        waiting.start()
        wait_until_blocked(observer, other.pid, [client.pid])
        assert not observer.blocked(client.pid, [other.pid])
        client.connection.rollback()
        waiting.join(timeout=10)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", set()),
        ("SELECT relname FROM pg_class LIMIT 1", set()),
        ("SELECT * FROM coins", {("coins", "AccessShareLock")}),
        ("SELECT * FROM coins FOR UPDATE", {("coins", "RowShareLock")}),
        ("SELECT * FROM vault.keys", {("vault.keys", "AccessShareLock")}),
        ("UPDATE coins SET value = 0 WHERE id = 1", {("coins", "RowExclusiveLock")}),
        ("SELECT pg_advisory_xact_lock(1)", {("<advisory lock 0/1/1>", "ExclusiveLock")}),
        ("SELECT nextval('notes_id_seq')", {("notes_id_seq", "RowExclusiveLock")}),
        ("SELECT last_value FROM notes_id_seq", {("notes_id_seq", "RowExclusiveLock")}),
        (
            "INSERT INTO notes (coin) VALUES (1)",
            {
                ("notes", "RowExclusiveLock"),
                ("notes_id_seq", "RowExclusiveLock"),
                ("coins", "RowShareLock"),
            },
        ),
    ],
)
def test_it_names_the_locks_of_a_session(
    observer: Observer, client: Client, sql: str, expected: set[tuple[str, str]]
) -> None:
    assert observer.locks(client.pid) == set()
    client.run(sql)
    # A fresh backend also reads the table while it plans.
    planning = {(name, "AccessShareLock") for name, _ in expected}
    assert expected <= observer.locks(client.pid) <= expected | planning
    client.connection.rollback()
    assert observer.locks(client.pid) == set()


def test_a_table_that_is_new_since_it_looked_is_named_once_it_is_committed(
    observer: Observer, client: Client
) -> None:
    observer.locks(client.pid)
    client.run("CREATE TABLE late (id int)")
    assert {name[:10] for name, _ in observer.locks(client.pid)} == {"<relation "}
    client.connection.commit()
    client.run("CREATE TABLE later (id int)")
    client.connection.commit()
    client.run("SELECT * FROM later")
    assert observer.locks(client.pid) == {("later", "AccessShareLock")}
    client.run("DROP TABLE late, later")
    client.connection.commit()


def test_a_serializable_read_is_told_by_its_lock(observer: Observer, client: Client) -> None:
    client.run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    client.run("SELECT * FROM coins")
    assert ("coins", "SIReadLock") in observer.locks(client.pid)


def test_the_fate_of_a_transaction(observer: Observer, client: Client) -> None:
    assert observer.xid(client.pid) is None
    client.run("SELECT 1")
    assert observer.xid(client.pid) is None
    client.run("UPDATE coins SET value = 1 WHERE id = 3")
    committed = observer.xid(client.pid)
    assert [(committed,)] == client.run("SELECT pg_current_xact_id()::text::int8")
    assert committed is not None
    assert observer.fate(committed, within_s=0.01) == "in progress"
    client.connection.commit()
    assert observer.fate(committed, within_s=5) == "committed"
    client.run("UPDATE coins SET value = 2 WHERE id = 3")
    aborted = observer.xid(client.pid)
    assert aborted is not None
    client.connection.rollback()
    assert observer.fate(aborted, within_s=5) == "aborted"


def test_it_waits_for_the_fate(observer: Observer, client: Client) -> None:
    client.run("UPDATE coins SET value = 1 WHERE id = 3")
    xid = observer.xid(client.pid)
    assert xid is not None
    fates: list[str] = []
    asking = threading.Thread(target=lambda: fates.append(observer.fate(xid, within_s=30)))
    asking.start()
    client.connection.commit()
    asking.join(timeout=10)
    assert fates == ["committed"]


def test_nobody_knows_the_fate_of_the_future(observer: Observer) -> None:
    with pytest.raises(ObserverError, match=r"the observer's question failed: .*in the future"):
        observer.fate(2**40 + 5, within_s=0)


def test_nobody_remembers_the_first_transactions(observer: Observer) -> None:
    with pytest.raises(ObserverError, match="does not remember transaction 0 any more"):
        observer.fate(0, within_s=0)


def test_terminated(observer: Observer, client: Client) -> None:
    observer.terminate(client.pid)
    with pytest.raises(psycopg2.OperationalError):
        client.run("SELECT 1")
    observer.terminate(client.pid)


def _as_nobody(url: str) -> str:
    parameters = psycopg2.extensions.parse_dsn(url)
    return str(psycopg2.extensions.make_dsn(**{**parameters, "user": "observer_nobody"}))


def test_who_may_not_terminate_is_told_which_privilege_is_missing(url: str, client: Client) -> None:
    with closing(Observer(_as_nobody(url))) as observer:
        client.run("UPDATE coins SET value = 1 WHERE id = 3")
        assert observer.xid(client.pid) is not None
        assert ("coins", "RowExclusiveLock") in observer.locks(client.pid)
        with pytest.raises(ObserverError, match="the observer's role lacks a privilege: ") as e:
            observer.terminate(client.pid)
        assert "\n" not in str(e.value)
        assert "SUPERUSER" in str(e.value)
    assert client.run("SELECT 1") == [(1,)]


def test_who_may_not_look_is_told_so_at_once(url: str) -> None:
    refused = pytest.raises(ObserverError, match=r"lacks a privilege: .*pg_lock_status")
    with revoked(url, "EXECUTE ON FUNCTION pg_lock_status()"), refused:
        Observer(_as_nobody(url))


def test_who_may_not_connect_is_told_so(url: str) -> None:
    refused = pytest.raises(ObserverError, match=r"cannot observe the database: .*permission")
    with revoked(url, f"CONNECT ON DATABASE {DATABASE}"), refused as e:
        Observer(_as_nobody(url))
    assert "\n" not in str(e.value)


def test_a_refused_connection_is_one_line() -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    with pytest.raises(ObserverError, match="cannot observe the database: ") as e:
        Observer(nowhere)
    assert "\n" not in str(e.value)


def test_a_lost_connection_comes_back(url: str, observer: Observer, client: Client) -> None:
    with closing(Observer(url)) as second:
        mine = second._ask("SELECT pg_backend_pid()")[0][0]
        observer.terminate(mine)
        assert second.blockers(client.pid) == ()
        observer.terminate(second._ask("SELECT pg_backend_pid()")[0][0])
        assert second.purity("now") == "pure"


def test_a_database_that_is_gone_is_one_line(url: str, observer: Observer) -> None:
    with closing(Observer(url)) as second:
        observer.terminate(second._ask("SELECT pg_backend_pid()")[0][0])
        second._database_url = "postgresql://nobody@127.0.0.1:1/none"
        with pytest.raises(ObserverError, match="cannot observe the database: ") as e:
            second.blockers(1)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("now", "pure"),
        ("pg_catalog.now", "pure"),
        ("sum", "pure"),
        ("jsonb_build_object", "pure"),
        ("gen_random_uuid", "pure"),
        ("clock_timestamp", "pure"),
        ("pg_try_advisory_xact_lock", "advisory"),
        ("nextval", "sequence"),
        ("pg_notify", "outside"),
        ("pg_stat_get_xact_tuples_updated", "unknown"),
        ("pg_terminate_backend", "unknown"),
        ("own", "measurable"),
        ("public.own", "measurable"),
        ("lower", "measurable"),
        ("pg_catalog.lower", "pure"),
        ("upper", "pure"),
        ("never_defined", "unknown"),
    ],
)
def test_which_functions_are_pure(observer: Observer, function: str, expected: str) -> None:
    assert observer.purity(function) == expected


def test_a_function_that_is_new_since_it_looked(observer: Observer, client: Client) -> None:
    assert observer.purity("upper") == "pure"
    client.run("CREATE FUNCTION upper(coins) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    client.connection.commit()
    observer.refresh()
    assert observer.purity("upper") == "measurable"
    client.run("DROP FUNCTION upper(coins)")
    client.connection.commit()


def test_default_isolation(url: str, observer: Observer, client: Client) -> None:
    assert observer.default_isolation() == "read committed"
    assert observer.default_isolation("observer_nobody") == "read committed"
    setting = "default_transaction_isolation"
    client.run(f"ALTER ROLE observer_nobody SET {setting} = 'serializable'")
    client.connection.commit()
    assert observer.default_isolation("observer_nobody") == "serializable"
    client.run(
        f"ALTER ROLE observer_nobody IN DATABASE {DATABASE} SET {setting} = 'repeatable read'"
    )
    client.connection.commit()
    assert observer.default_isolation("observer_nobody") == "repeatable read"
    with closing(Observer(_as_nobody(url))) as nobodys:
        assert nobodys.default_isolation() == "repeatable read"


def test_deadlock_timeout(observer: Observer, client: Client) -> None:
    shown = client.run("SELECT extract(epoch FROM current_setting('deadlock_timeout')::interval)")
    assert observer.deadlock_timeout_s() == float(shown[0][0])
