"""Limits: how many requests one caller gets through, over processes, floods and outages."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import pytest
from redis import Redis

from engine.local_window import RateLimit
from engine.ownership import Workspace
from engine.provision import Databases
from engine.rate_limits import ADMIT, SlidingWindow
from engine.redis_client import Unbounded
from engine.stores import PostgresServer, RedisServer, open_redis
from tests.integration.engine_client import Account, House, house_of, problem_of

MOST = 5
PASSWORD = "right horse"
PROCESSES = 4
CALLS = 600
ADMITTED_OF_THEM = 250


@pytest.fixture(scope="module")
def redis_of_ours(workspace: Workspace) -> Iterator[RedisServer]:
    server = open_redis("embedded", workspace)
    yield server
    server.close()


@pytest.fixture(scope="module")
def house(
    databases: Databases, postgres: PostgresServer, redis_of_ours: RedisServer
) -> Iterator[House]:
    with house_of(
        "hardened",
        databases,
        postgres,
        redis_of_ours.url,
        rate_limit_requests=MOST,
        rate_limit_window_s=600,
        rate_limit_sensitive_requests=MOST,
        rate_limit_sensitive_window_s=600,
    ) as opened:
        yield opened


@pytest.fixture
def caller(house: House) -> Account:
    """Nobody has asked anything in this name."""
    user_id = house.user()
    return Account(user_id=user_id, wallet_id=1, headers=house.token(user_id))


def _asked(house: House, caller: Account, times: int) -> list[int]:
    return [house.get("/users/me", caller.headers).status_code for _ in range(times)]


def test_more_than_the_limit_is_refused_with_a_problem(house: House, caller: Account) -> None:
    assert _asked(house, caller, MOST) == [200] * MOST
    refused = house.get("/users/me", caller.headers)
    assert refused.status_code == 429
    assert problem_of(refused) == "rate-limited"
    assert 590 <= int(refused.headers["Retry-After"]) <= 600
    assert refused.json()["retriable"]
    assert refused.json()["retry_with_same_key"]


def test_others_are_not_concerned(house: House, caller: Account) -> None:
    _asked(house, caller, MOST + 1)
    other = house.user()
    assert house.get("/users/me", house.token(other)).status_code == 200
    assert house.http.get("/v1/health/ready").status_code == 200


def test_headers_do_not_make_somebody_else(house: House, caller: Account) -> None:
    _asked(house, caller, MOST)
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-Id"):
        forged = {**caller.headers, name: "for=192.0.2.7"}
        assert house.get("/users/me", forged).status_code == 429


def test_the_order_of_refusals(house: House, caller: Account) -> None:
    """401, then 429, then what is wrong with the key and the body."""
    _asked(house, caller, MOST)
    assert house.http.post("/v1/transfers").status_code == 401
    bare = house.http.post("/v1/transfers", headers=dict(caller.headers))
    assert bare.status_code == 429


def test_who_is_refused_does_not_reach_the_database(house: House, caller: Account) -> None:
    _asked(house, caller, MOST)
    before = house.services.database.pool.checkedin()  # type: ignore[attr-defined]
    house.services.database.dispose()
    assert _asked(house, caller, 3) == [429] * 3
    assert house.services.database.pool.checkedin() == 0 < before  # type: ignore[attr-defined]


def _signed_up(house: House, name: str) -> str:
    username = f"{name}-{time.monotonic_ns()}"
    house.http.post("/v1/users", json={"username": username, "password": PASSWORD})
    return username


def _log_in(house: House, username: str, password: str) -> int:
    body = {"username": username, "password": password}
    return int(house.http.post("/v1/auth/token", json=body).status_code)


def test_after_so_many_guesses_the_right_one_is_refused(house: House) -> None:
    username = _signed_up(house, "guessed")
    assert [_log_in(house, username, f"guess {n}") for n in range(MOST)] == [401] * MOST
    assert _log_in(house, username, PASSWORD) == 429
    assert _log_in(house, _signed_up(house, "another"), PASSWORD) == 200


def test_without_redis_the_limit_stays(
    house: House, caller: Account, redis_of_ours: RedisServer
) -> None:
    username = _signed_up(house, "in-outage")
    _asked(house, caller, MOST - 1)
    assert _log_in(house, username, "guess") == 401
    redis_of_ours.kill()
    try:
        assert _asked(house, caller, 3) == [200, 429, 429], "what came before counts"
        guesses = [_log_in(house, username, f"guess {n}") for n in range(MOST + 2)]
        assert guesses == [401] * (MOST - 1) + [429] * 3
    finally:
        redis_of_ours.start()
    assert _asked(house, caller, 1) == [429], "and still when Redis is back, empty"


def test_the_script_lets_the_window_slide(redis_of_ours: RedisServer) -> None:
    window_us = 200_000
    with Redis.from_url(redis_of_ours.url) as client:
        admit = partial(client.eval, ADMIT, 1, "sliding", 2, window_us)
        assert (admit(), admit()) == (0, 0)
        began_s = time.monotonic()
        waits = []
        while wait_us := admit():
            waits.append(wait_us)
        waited_s = time.monotonic() - began_s
        assert client.pttl("sliding") > 0
        assert client.llen("sliding") in {1, 2}, "no more than the limit, whatever has expired"
    assert window_us >= waits[0] > waits[-1] > 0
    assert sorted(waits, reverse=True) == waits
    assert waited_s * 1e6 >= waits[0] - waits[-1]


def test_a_clock_that_is_set_back_lets_nobody_pass(redis_of_ours: RedisServer) -> None:
    with Redis.from_url(redis_of_ours.url) as client:
        later = int(time.time() * 1e6) + 3_600_000_000
        client.lpush("set-back", later)
        assert client.eval(ADMIT, 1, "set-back", 2, 1_000_000) == 0
        assert client.eval(ADMIT, 1, "set-back", 2, 1_000_000) == 1_000_000


def _count_admitted(url: str, calls: int) -> int:
    """What one of several processes lets through, asked from several threads."""
    with Redis.from_url(url, decode_responses=True) as client:
        limit = RateLimit(name="processes", requests=ADMITTED_OF_THEM, window_s=600)
        window = SlidingWindow(Unbounded(client), limit, lambda caller: f"limit:{caller}")
        with ThreadPoolExecutor(4) as threads:
            return sum(wait == 0 for wait in threads.map(window.take, ["one"] * calls))


def test_exact_over_processes(redis_of_ours: RedisServer) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        asked = [
            pool.submit(_count_admitted, redis_of_ours.url, CALLS // PROCESSES)
            for _ in range(PROCESSES)
        ]
        admitted = [one.result() for one in asked]
    assert sum(admitted) == ADMITTED_OF_THEM
