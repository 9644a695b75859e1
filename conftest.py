"""What every test may stand on: one workspace and one PostgreSQL and Redis for the whole session."""

from collections.abc import Iterator

import pytest

from engine.ownership import Workspace, sweep
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer, open_postgres, open_redis


@pytest.fixture(scope="session")
def workspace() -> Iterator[Workspace]:
    sweep()
    with Workspace() as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres(workspace: Workspace) -> Iterator[PostgresServer]:
    server = open_postgres("embedded", workspace)
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server(workspace: Workspace) -> Iterator[RedisServer]:
    server = open_redis("embedded", workspace)
    yield server
    server.close()


@pytest.fixture(scope="session")
def databases(postgres: PostgresServer) -> Databases:
    return Databases(postgres)
