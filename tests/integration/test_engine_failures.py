"""What the engine says when the database fails it, and whether that is true."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import httpx
import psycopg2
import pytest
import sqlalchemy as sa

from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import Account, House, house_of, problem_of


@pytest.fixture(scope="module", params=["core", "orm"])
def house(
    request: pytest.FixtureRequest,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> Iterator[House]:
    build = f"hardened,execution={request.param}"
    with house_of(build, databases, postgres, redis_server.url, engine_pool_size=4) as opened:
        yield opened


@contextmanager
def killed_before(house: House, event: str, word: str = "") -> Iterator[list[str]]:
    """The next connection that comes to this event is ended by the server right before."""
    killed: list[str] = []

    def kill(connection: Any, *details: Any) -> None:
        if killed or (word and word not in str(details[1])):
            return
        driver = connection.connection.dbapi_connection
        killed.append(event)
        house.rows("SELECT pg_terminate_backend(%s)", driver.get_backend_pid())
        # The backend is gone when its session is: only then does the next step find out.
        while house.rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", driver.get_backend_pid()):
            pass

    sa.event.listen(house.services.database, event, kill)
    try:
        yield killed
    finally:
        sa.event.remove(house.services.database, event, kill)


def test_a_connection_that_dies_at_commit_leaves_the_outcome_unknown(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    with killed_before(house, "commit") as killed:
        answer = house.pay(payer, payee, 1_00, key="dies-at-commit")
    assert killed
    assert (problem_of(answer), answer.status_code) == ("outcome-unknown", 504)
    assert (answer.json()["retriable"], answer.json()["retry_with_same_key"]) == (False, True)
    assert house.pay(payer, payee, 1_00, key="dies-at-commit").status_code == 201
    assert house.balance(payer) == 9_00


@pytest.mark.parametrize("statement", ["FOR NO KEY UPDATE", "INSERT INTO idempotency", "UPDATE"])
def test_a_connection_that_dies_before_commit_has_committed_nothing(
    house: House, statement: str
) -> None:
    payer, payee = house.account(10_00), house.account()
    before = house.money_and_keys()
    with killed_before(house, "before_cursor_execute", statement) as killed:
        answer = house.pay(payer, payee, 1_00)
    assert killed
    assert (problem_of(answer), answer.status_code) == ("unavailable", 503)
    assert house.money_and_keys() == before
    assert house.pay(payer, payee, 1_00).status_code == 201


def test_a_deadlock_is_run_again(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    """Payer, then payee: opposite transfers wait in a circle until PostgreSQL breaks it."""
    build = "hardened,lock_order=request"
    with house_of(build, databases, postgres, redis_server.url) as house:
        first, second = house.account(50_00), house.account(50_00)
        name = house.database_url.rpartition("/")[2]
        house.rows(f"ALTER DATABASE \"{name}\" SET deadlock_timeout = '20ms'")
        house.services.database.dispose()
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        statuses: Counter[int] = Counter()
        with ThreadPoolExecutor(4) as threads:
            for _ in range(5):
                statuses.update(_opposite(house, threads, first, second))
                if house.rows(f"SELECT 1 FROM ({deadlocks}) d WHERE deadlocks > 0"):
                    break
        assert set(statuses) <= {201, 503}
        assert house.balance(first) + house.balance(second) == 100_00
        assert house.get("/ledger/reconciliation", house.operator).status_code == 200


def _opposite(
    house: House, threads: ThreadPoolExecutor, first: Account, second: Account
) -> list[int]:
    tasks = [threads.submit(house.pay, *pair, 1) for pair in [(first, second), (second, first)] * 6]
    return [task.result().status_code for task in tasks]


def test_a_stale_version_is_run_again(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    build = "hardened,locking=version"
    with house_of(build, databases, postgres, redis_server.url) as house:
        payer, payee = house.account(10_00), house.account()
        with ThreadPoolExecutor(6) as threads:
            tasks = [threads.submit(house.pay, payer, payee, 1_00) for _ in range(12)]
            answers = [task.result() for task in tasks]
        paid = sum(a.status_code == 201 for a in answers)
        assert {a.status_code for a in answers} <= {201, 402, 409}
        assert (house.balance(payer), house.balance(payee)) == (10_00 - paid * 100, paid * 100)
        assert house.get("/ledger/reconciliation", house.operator).status_code == 200


def test_when_all_connections_are_taken_the_answer_is_503(
    databases: Databases, postgres: PostgresServer
) -> None:
    with house_of("hardened", databases, postgres, "", engine_pool_size=1) as house:
        account = house.account(1_00)
        with house.services.database.connect():
            answer: httpx.Response = house.get(f"/wallets/{account.wallet_id}", account.headers)
        assert (problem_of(answer), answer.status_code) == ("unavailable", 503)
        assert house.balance(account) == 1_00


def test_the_database_itself_refuses_what_the_engine_would_not_write(house: House) -> None:
    account = house.account(1_00)
    for change in ("balance = -1", "balance = 9007199254740992", "status = 'lost'"):
        with (
            pytest.raises(psycopg2.errors.CheckViolation),
            closing(psycopg2.connect(house.database_url)) as connection,
        ):
            connection.cursor().execute(
                f"UPDATE wallets SET {change} WHERE id = %s", (account.wallet_id,)
            )
