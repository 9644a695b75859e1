"""Redis comes and goes: no balance is older than what was acknowledged, and nobody waits long."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from engine.balance_cache import BalanceCache
from engine.ownership import Workspace
from engine.provision import Databases
from engine.redis_client import COOL_DOWN_S
from engine.stores import PostgresServer, RedisServer, open_redis
from engine.wallets import WalletState
from tests.integration.engine_client import Account, House, house_of

BOUND_S = 1.0
"""A request without Redis; the policy's own bound is 50 ms a call."""


@pytest.fixture(scope="module")
def redis_of_ours(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """It keeps what it saved, so that it may come back with old data."""
    data: Path = tmp_path_factory.mktemp("redis-data")
    server = open_redis("embedded", workspace, data=data)
    yield server
    server.close()


@pytest.fixture(scope="module")
def house(
    databases: Databases, postgres: PostgresServer, redis_of_ours: RedisServer
) -> Iterator[House]:
    with house_of("hardened", databases, postgres, redis_of_ours.url) as opened:
        yield opened


@pytest.fixture
def cached(house: House) -> Account:
    """An account whose balance of 10.00 Redis knows."""
    account = house.account(10_00)
    wait_for_redis(house)
    assert house.balance(account) == 10_00
    return account


def wait_for_redis(house: House) -> None:
    until_s = time.monotonic() + 5
    while house.services.redis.state() != "up" and time.monotonic() < until_s:
        time.sleep(0.02)
    assert house.services.redis.state() == "up"


def read_for_a_while(house: House, account: Account) -> set[int]:
    seen = set()
    until_s = time.monotonic() + COOL_DOWN_S + 0.3
    while time.monotonic() < until_s:
        seen.add(house.balance(account))
    return seen


def timed(action: Callable[[], object]) -> float:
    started_s = time.monotonic()
    action()
    return time.monotonic() - started_s


def test_a_balance_is_served_from_redis(house: House, cached: Account) -> None:
    house.rows("UPDATE wallets SET balance = balance + 1 WHERE id = %s", cached.wallet_id)
    assert house.balance(cached) == 10_00, "read from the database"
    house.rows("UPDATE wallets SET balance = balance - 1 WHERE id = %s", cached.wallet_id)


def test_an_acknowledged_movement_is_seen_at_once(house: House, cached: Account) -> None:
    shop = house.account()
    for left in range(9, 0, -1):
        assert house.pay(cached, shop, 1_00).status_code == 201
        assert house.balance(cached) == left * 100


def test_after_a_pause_nothing_old_is_served(
    house: House, cached: Account, redis_of_ours: RedisServer
) -> None:
    shop = house.account()
    redis_of_ours.pause()
    try:
        assert timed(lambda: house.pay(cached, shop, 1_00)) < BOUND_S
        assert timed(lambda: [house.balance(cached) for _ in range(10)]) < BOUND_S
        assert house.balance(cached) == 9_00
        assert house.get("/health/ready").json()["status"] == "degraded"
        assert house.get("/health/ready").status_code == 200
    finally:
        redis_of_ours.resume()
    assert read_for_a_while(house, cached) == {9_00}
    wait_for_redis(house)


def test_after_a_crash_nothing_old_is_served(
    house: House, cached: Account, redis_of_ours: RedisServer
) -> None:
    shop = house.account()
    redis_of_ours.kill()
    try:
        assert timed(lambda: house.pay(cached, shop, 1_00)) < BOUND_S
    finally:
        redis_of_ours.start()
    assert read_for_a_while(house, cached) == {9_00}


def test_a_redis_that_comes_back_with_old_data_is_not_believed(
    house: House, cached: Account, redis_of_ours: RedisServer
) -> None:
    """Nobody asks while it is away, so that no call fails: only its run id tells."""
    with Redis.from_url(redis_of_ours.url) as client:
        client.save()
    assert house.pay(cached, house.account(), 1_00).status_code == 201
    redis_of_ours.kill()
    redis_of_ours.start()
    with Redis.from_url(redis_of_ours.url) as client:
        names = client.keys(f"{house.services.settings.redis_namespace}:balance:*")
    assert names, "it came back empty: this test shows nothing"
    assert read_for_a_while(house, cached) == {9_00}


def test_replays_do_not_need_redis(
    house: House, cached: Account, redis_of_ours: RedisServer
) -> None:
    shop = house.account()
    first = house.pay(cached, shop, 1_00, key="again")
    redis_of_ours.pause()
    try:
        again = house.pay(cached, shop, 1_00, key="again")
    finally:
        redis_of_ours.resume()
    assert (again.status_code, again.content) == (201, first.content)
    wait_for_redis(house)


def wallet_of(house: House, account: Account) -> WalletState:
    with house.services.scope.new() as session:
        (state,) = house.services.books(session).read([account.wallet_id], lock=False)
    return state


def cached_version(cache: BalanceCache, account: Account) -> int | None:
    found, _ = cache.find(account.wallet_id)
    return found.version if found else None


def test_a_late_reader_does_not_bring_an_old_balance_back(house: House, cached: Account) -> None:
    cache = house.services.cache
    old = wallet_of(house, cached)
    _, token = cache.find(cached.wallet_id)
    house.pay(cached, house.account(), 1_00)
    cache.fill(old, token)
    assert cached_version(cache, cached) == old.version + 1


def test_a_reader_from_before_an_outage_fills_nothing(house: House, cached: Account) -> None:
    cache = house.services.cache
    _, token = cache.find(cached.wallet_id)
    house.services.redis.call(cache.restart)
    cache.fill(wallet_of(house, cached), token)
    cache.fill(wallet_of(house, cached), "")
    assert cached_version(cache, cached) is None


def test_the_first_write_after_an_outage_is_cached(house: House, cached: Account) -> None:
    house.services.redis.call(house.services.cache.restart)
    house.pay(cached, house.account(), 1_00)
    assert cached_version(house.services.cache, cached) == 2


def test_a_frozen_wallet_stays_uncached_for_a_while(house: House, cached: Account) -> None:
    """Its version does not tell that its status changed."""
    cache = house.services.cache
    token, before = cache.begin(), wallet_of(house, cached)
    path = f"/v1/wallets/{cached.wallet_id}"
    house.http.patch(path, json={"status": "frozen"}, headers=house.operator)
    cache.after_commit([before], token)
    cache.fill(before, token)
    assert cached_version(cache, cached) is None
    assert house.get(f"/wallets/{cached.wallet_id}", cached.headers).json()["status"] == "frozen"


def test_a_writer_from_before_an_outage_leaves_the_wallet_uncached(
    house: House, cached: Account
) -> None:
    """Newer writes may have gone to the generation that is lost."""
    cache = house.services.cache
    token, state = cache.begin(), wallet_of(house, cached)
    house.services.redis.call(cache.restart)
    cache.after_commit([state], token)
    assert cached_version(cache, cached) is None
    _, fresh = cache.find(cached.wallet_id)
    cache.fill(state, fresh)
    cache.after_commit([replace(state, version=state.version + 1)], fresh)
    assert cached_version(cache, cached) is None


def _set_state(client: "Redis", *, name: str, text: str) -> None:
    client.hset(name, "state", text)


def test_what_nobody_knows_to_read_is_a_miss(house: House, cached: Account) -> None:
    namespace = house.services.settings.redis_namespace
    names = house.services.redis.call(
        lambda client: list(client.scan_iter(f"{namespace}:balance:{cached.wallet_id}:*"))
    )
    for text in ("{", "[]", '{"id": 1}'):
        for name in names:
            house.services.redis.call(partial(_set_state, name=name, text=text))
        assert house.balance(cached) == 10_00


def test_where_redis_is_required_its_errors_are_the_requests(
    databases: Databases, postgres: PostgresServer, workspace: Workspace
) -> None:
    redis = open_redis("embedded", workspace)
    try:
        with house_of("hardened,redis_policy=required", databases, postgres, redis.url) as house:
            payer, payee = house.account(10_00), house.account()
            redis.kill()
            assert house.pay(payer, payee, 1_00).status_code == 500
    finally:
        redis.close()
