"""Servers in containers, with a real engine and real images.

`.ci/container-image` builds images where none can be pulled. Without an engine or an image these
tests are skipped with the reason, and fail instead where ASSAY_REQUIRE_CONTAINERS=1.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis

from engine.ownership import Workspace, poll, sweep
from engine.stores import (
    PostgresServer,
    RedisServer,
    StoreError,
    open_postgres,
    open_redis,
    postgres_container,
    redis_container,
)
from engine.stores.container_engine import LABEL, connect, why_image_is_missing

pytestmark = pytest.mark.containers

OWNER = """
import time
from engine.ownership import Workspace
from engine.stores import open_postgres, open_redis

with Workspace() as workspace:
    open_redis("container", workspace)
    workspace.folder("ready")
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    client: Any = connect()
    obstacle = client if isinstance(client, str) else None
    for image in (postgres_container.image(), redis_container.image()):
        obstacle = obstacle or why_image_is_missing(client, image)
    if obstacle is not None:
        remedy = "start an engine, and pull the images or run .ci/container-image as root"
        if os.environ.get("ASSAY_REQUIRE_CONTAINERS") == "1":
            pytest.fail(f"containers are required here: {obstacle}; {remedy}")
        pytest.skip(f"{obstacle}; {remedy}")
    with closing(client):
        yield client


@pytest.fixture(scope="module")
def workspace(engine: Any) -> Iterator[Workspace]:
    with Workspace() as opened:
        yield opened
    assert containers_of(engine, opened) == []


@pytest.fixture(scope="module")
def postgres(workspace: Workspace) -> PostgresServer:
    return open_postgres("container", workspace)


@pytest.fixture(scope="module")
def cache(workspace: Workspace) -> RedisServer:
    return open_redis("container", workspace)


@pytest.fixture(autouse=True)
def no_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASSAY_POSTGRES_URL", "ASSAY_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)


def containers_of(engine: Any, workspace: Workspace) -> list[Any]:
    return list(engine.containers.list(all=True, filters={"label": f"{LABEL}={workspace.path}"}))


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def client_of(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=0.5, retry=None)


def test_postgres_is_up_and_as_demanded(postgres: PostgresServer) -> None:
    assert postgres.choice.kind == "container"
    assert execute(postgres.admin_url, "SHOW deadlock_timeout") == [("20ms",)]
    ((version,),) = execute(postgres.admin_url, "SHOW server_version")
    assert str(version).startswith(postgres.version)


def test_a_database_is_created_from_a_template(postgres: PostgresServer) -> None:
    execute(postgres.create_database("pattern"), "CREATE TABLE coins AS SELECT 7 AS coin")
    copy = postgres.create_database("copy", template="pattern")
    assert execute(copy, "SELECT coin FROM coins") == [(7,)]
    postgres.drop_database("copy")


@pytest.mark.parametrize("way", ["restart", "kill"])
def test_postgres_comes_back_with_port_and_data(postgres: PostgresServer, way: str) -> None:
    url = postgres.create_database(f"after_{way}")
    execute(url, "CREATE TABLE coins AS SELECT 7 AS coin")
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
    assert execute(url, "SELECT coin FROM coins") == [(7,)]


def test_redis_is_paused_and_resumed(cache: RedisServer) -> None:
    client = client_of(cache)
    client.set("kept", "1")
    cache.pause()
    cache.pause()
    with pytest.raises(redis.TimeoutError):
        client.get("kept")
    cache.resume()
    assert client.get("kept") == b"1"


def test_redis_is_killed_while_paused_and_comes_back_empty(cache: RedisServer) -> None:
    client = client_of(cache)
    client.set("lost", "1")
    cache.pause()
    cache.kill()
    with pytest.raises(redis.ConnectionError):
        client.get("lost")
    cache.start()
    assert client.get("lost") is None


def test_servers_answer_on_the_loopback_interface_only(
    engine: Any, workspace: Workspace, postgres: PostgresServer, cache: RedisServer
) -> None:
    bindings = [
        binding["HostIp"]
        for container in containers_of(engine, workspace)
        for published in container.ports.values()
        for binding in published or ()
    ]
    assert len(bindings) >= 2
    assert set(bindings) == {"127.0.0.1"}


def test_auto_takes_a_container_when_the_image_is_here(engine: Any) -> None:
    with Workspace() as other:
        server = open_redis("auto", other)
        assert server.choice.kind == "container"
        assert server.choice.skipped == ("external: ASSAY_REDIS_URL is not set",)
        server.close()
        assert containers_of(engine, other) == []


@pytest.fixture
def absent_image(monkeypatch: pytest.MonkeyPatch) -> str:
    image = "assay-local/absent:none"
    monkeypatch.setenv("ASSAY_REDIS_IMAGE", image)
    return image


def test_a_missing_image_is_one_clear_line(workspace: Workspace, absent_image: str) -> None:
    with pytest.raises(StoreError, match=f"image {absent_image} is not here") as refused:
        open_redis("container", workspace)
    assert "\n" not in str(refused.value)
    assert "--stores embedded" in str(refused.value)


def test_auto_does_without_a_missing_image(workspace: Workspace, absent_image: str) -> None:
    server = open_redis("auto", workspace)
    assert server.choice.kind == "embedded"
    assert f"image {absent_image} is not here" in server.choice.skipped[1]


def test_an_image_that_does_not_serve_is_one_clear_line(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PostgreSQL image that is told to be something else ends at once."""
    monkeypatch.setattr(redis_container, "COMMAND", ["sh", "-c", "echo not today; exit 3"])
    with Workspace() as other:
        with pytest.raises(StoreError, match="does not answer: not today; try") as refused:
            open_redis("container", other)
        assert "\n" not in str(refused.value)
        assert containers_of(engine, other) == []


def test_a_killed_owner_s_containers_are_swept(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as place:
        monkeypatch.setenv("TMPDIR", place)
        monkeypatch.setattr(tempfile, "tempdir", place)
        owner = subprocess.Popen([sys.executable, "-c", OWNER])
        assert poll(lambda: any(Path(place).glob("assay-*/ready")), deadline_s=60)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        (folder,) = Path(place).iterdir()
        label = {"label": f"{LABEL}={folder}"}
        assert len(engine.containers.list(all=True, filters=label)) == 1
        assert any(line.startswith("removed container") for line in sweep())
        assert engine.containers.list(all=True, filters=label) == []
        assert list(Path(place).iterdir()) == []


def test_a_container_that_was_not_yet_noted_is_swept(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner was killed between the start of a container and the note of it."""
    with tempfile.TemporaryDirectory() as place:
        monkeypatch.setattr(tempfile, "tempdir", place)
        folder = Path(place, "assay-12345678")
        folder.mkdir()
        container = engine.containers.create(
            redis_container.image(), "sleep 600", labels={LABEL: str(folder)}
        )
        assert f"removed container {container.name} of {folder}" in sweep()
        assert list(Path(place).iterdir()) == []
