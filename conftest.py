"""What every test may stand on: one workspace and one PostgreSQL and Redis for the whole session.

Also the options of `pytest scenarios --build hardened --stores auto`.
"""

from collections.abc import Iterator

import pytest

from engine.defences import DefenceError, parse_build
from engine.ownership import Workspace, sweep
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer, open_postgres, open_redis


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("assay", "claims (pytest scenarios)")
    group.addoption("--build", action="append", help="build to test; may be given again")
    group.addoption(
        "--stores", default="auto", choices=("auto", "external", "container", "embedded")
    )


def pytest_configure(config: pytest.Config) -> None:
    for name in config.getoption("--build") or []:
        try:
            parse_build(name)
        except DefenceError as error:
            raise pytest.UsageError(str(error)) from error


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
