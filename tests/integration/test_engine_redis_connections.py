"""The engine's connections to Redis: what one is good for after something went wrong on it."""

import pytest
from redis import Redis
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine.redis_client import bounded_client
from engine.stores import RedisServer

TIMEOUT_S = 0.2


@pytest.fixture
def client(redis_server: RedisServer) -> Redis:
    return bounded_client(redis_server.url, TIMEOUT_S)


def number(client: Redis) -> int:
    """Of the connection that it asks on."""
    return int(client.client_id())


def test_a_refused_command_leaves_the_connection_as_it_was(client: Redis) -> None:
    before = number(client)
    with pytest.raises(ResponseError):
        client.eval("no Lua", 0)
    assert number(client) == before


def test_a_late_answer_is_nobodys(client: Redis) -> None:
    client.set("key", "value")
    before = number(client)
    with pytest.raises(RedisTimeoutError):
        client.blpop("no list", 1)
    assert client.get("key") == "value"
    assert number(client) != before


def test_a_farewell_is_seen_before_anything_is_asked(
    client: Redis, redis_server: RedisServer
) -> None:
    before = number(client)
    with Redis.from_url(redis_server.url) as other:
        other.client_kill_filter(_id=str(before))
    assert number(client) != before
