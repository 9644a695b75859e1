"""Engines that several modules speak to; a module may have a `house` of its own."""

from collections.abc import Iterator

import pytest

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
