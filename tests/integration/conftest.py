"""Engines that several modules speak to; a module may have a `house` of its own."""

from collections.abc import Iterator

import pytest

from engine.defences import parse_build
from engine.process import EngineConfig
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import House, house_of


@pytest.fixture(scope="module", params=["fragile", "hardened"])
def house(
    request: pytest.FixtureRequest,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> Iterator[House]:
    with house_of(request.param, databases, postgres, redis_server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def hardened(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[House]:
    with house_of("hardened", databases, postgres, redis_server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def config(
    request: pytest.FixtureRequest,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> EngineConfig:
    """For engines of the hardened build, on a database and with Redis keys of the module's own."""
    build = parse_build("hardened")
    return EngineConfig(
        build=build,
        database_url=postgres.url(databases.create(build.defences)),
        redis_url=redis_server.url,
        redis_namespace=request.module.__name__,
        pin_pepper="a pepper for all engines of this module",
        settings={"JWT_SECRET": "a secret for all engines of this module, long enough"},
    )
