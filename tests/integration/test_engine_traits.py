"""How the services that builds stand for do what others do as well: locks, pool, what is first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx
import psycopg2
import psycopg2.extensions
import pytest
import sqlalchemy as sa

from engine.defences import named_builds
from engine.idempotency import LOCK_CLASS
from engine.ownership import poll
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import Account, House, house_of, problem_of

WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
    "AND datname = current_database()"
)
FREE = "SELECT id FROM wallets WHERE id = %s FOR UPDATE SKIP LOCKED"


@contextmanager
def opened(
    build: str, databases: Databases, postgres: PostgresServer, redis: RedisServer, **settings: int
) -> Iterator[House]:
    with house_of(build, databases, postgres, redis.url, **settings) as house:
        yield house


@contextmanager
def blocking(house: House, sql: str, *values: object) -> Iterator[psycopg2.extensions.connection]:
    """A session that holds what this locks, until it commits."""
    with closing(psycopg2.connect(house.database_url)) as side:
        side.cursor().execute(sql, values)
        yield side


def sent_by(house: House, payer: Account, payee: Account) -> list[str]:
    sent: list[str] = []
    sa.event.listen(
        house.services.database,
        "before_cursor_execute",
        lambda _, __, statement, *___: sent.append(" ".join(statement.split())),
    )
    assert house.pay(payer, payee, 1_00).status_code == 201
    return sent


def older_owner_of_a_younger_wallet(house: House) -> tuple[Account, Account]:
    """The first account has the smaller user id and the larger wallet id."""
    older, younger = house.user(), house.user()
    accounts = [
        Account(user_id=user_id, wallet_id=house.wallet_for(user_id), headers={})
        for user_id in (younger, older)
    ]
    for account in accounts:
        house.deposit(account.wallet_id, 10_00)
    second, first = accounts
    assert first.user_id < second.user_id
    assert first.wallet_id > second.wallet_id
    return first, second


@pytest.mark.parametrize(
    ("build", "ending"),
    [
        ("g-wallet", "ORDER BY wallets.id FOR UPDATE"),
        ("dino", "ORDER BY wallets.user_id, wallets.id FOR UPDATE"),
        ("dino,execution=orm", "ORDER BY wallets.user_id, wallets.id FOR UPDATE"),
        ("hardened", "ORDER BY wallets.id FOR NO KEY UPDATE"),
        ("fragile,locking=row", "ORDER BY wallets.id FOR NO KEY UPDATE"),
    ],
)
def test_wallets_are_locked_as_the_service_does_it(
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
    build: str,
    ending: str,
) -> None:
    with opened(build, databases, postgres, redis_server) as house:
        payer, payee = house.account(10_00), house.account()
        locked = [s for s in sent_by(house, payer, payee) if "FROM wallets" in s and "FOR " in s]
        assert locked
        assert all(statement.endswith(ending) for statement in locked)


@pytest.mark.parametrize(("build", "by_owner"), [("dino", True), ("dino,locking=none", False)])
def test_dino_locks_by_owner_and_the_pair_before_the_rows_where_it_locks_at_all(
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
    build: str,
    by_owner: bool,
) -> None:
    with opened(build, databases, postgres, redis_server) as house:
        sent = sent_by(house, house.account(10_00), house.account())
        pairs = [n for n, text in enumerate(sent) if text.startswith("SELECT DISTINCT user_id")]
        rows = [n for n, text in enumerate(sent) if text.endswith("FOR UPDATE")]
        assert bool(pairs) == bool(rows) == by_owner
        assert max(pairs, default=0) <= min(rows, default=0)


@pytest.mark.parametrize("build", ["dino", "dino,execution=orm", "hardened"])
def test_while_it_waits_for_the_first_row_the_second_is_free(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer, build: str
) -> None:
    """The first one is the older owner's in dino, and the older wallet elsewhere."""
    build = f"{build},authentication=none,pin=off,authorization=trust_body"
    with opened(build, databases, postgres, redis_server) as house:
        first, second = older_owner_of_a_younger_wallet(house)
        lock = "SELECT 1 FROM wallets WHERE id = %s FOR UPDATE"
        with (
            ThreadPoolExecutor(1) as threads,
            blocking(house, lock, first.wallet_id) as side,
        ):
            paid = threads.submit(house.pay, second, first, 1_00)
            assert poll(lambda: house.rows(WAITING) == [(1,)], 10)
            free = house.rows(FREE, second.wallet_id)
            assert bool(free) == build.startswith("dino")
            side.commit()
            assert paid.result().status_code == 201


def test_dino_takes_no_row_before_the_lock_of_each_owner_and_asset(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with opened("dino", databases, postgres, redis_server) as house:
        payer, payee = house.account(10_00), house.account()
        pair = (
            "SELECT pg_advisory_xact_lock(hashtextextended('assay-pair ' || user_id || ' ' || "
            "asset_type_id, 0)) FROM wallets WHERE id = %s"
        )
        with ThreadPoolExecutor(1) as threads, blocking(house, pair, payee.wallet_id) as side:
            paid = threads.submit(house.pay, payer, payee, 1_00)
            assert poll(lambda: house.rows(WAITING) == [(1,)], 10)
            assert house.rows(FREE, payer.wallet_id)
            assert house.rows(FREE, payee.wallet_id)
            side.commit()
            assert paid.result().status_code == 201


@pytest.mark.parametrize("build", ["dino", "hardened,key_in_flight=wait"])
def test_dino_waits_for_the_lock_of_the_key(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer, build: str
) -> None:
    build = f"{build},authentication=none,pin=off,authorization=trust_body"
    with opened(build, databases, postgres, redis_server) as house:
        payer, payee = house.account(10_00), house.account()
        caller = house.services.tokens.authenticate(None).name
        scope = house.services.key_rules.scope(caller, "POST /v1/transfers")
        key = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
        name = f"{LOCK_CLASS} {scope} twice"
        with ThreadPoolExecutor(1) as threads, blocking(house, key, name) as side:
            paid = threads.submit(house.pay, payer, payee, 1_00, key="twice")
            if build.startswith("dino"):
                assert poll(lambda: house.rows(WAITING) == [(1,)], 10)
                assert house.rows("SELECT count(*) FROM idempotency_keys WHERE key = 'twice'") == [
                    (0,)
                ]
                side.commit()
            assert paid.result(timeout=30).status_code == 201
        again = house.pay(payer, payee, 1_00, key="twice")
        assert again.headers["idempotent-replayed"] == "true"
        assert house.balance(payer) == 9_00


@pytest.mark.parametrize(
    ("build", "told", "connections"),
    [("dino", {}, 50), ("hardened", {}, 10), ("dino", {"engine_pool_size": 7}, 7)],
)
def test_dino_has_fifty_connections_and_bounds_every_wait(
    databases: Databases,
    postgres: PostgresServer,
    build: str,
    told: dict[str, int],
    connections: int,
) -> None:
    with house_of(build, databases, postgres, "", **told) as house:
        pool = house.services.database.pool
        assert isinstance(pool, sa.QueuePool)
        assert pool.size() == connections
        with house.services.database.connect() as connection:
            bounds = [
                connection.scalar(sa.text(f"SHOW {name}"))
                for name in ("lock_timeout", "statement_timeout")
            ]
        assert bounds == ["5s", "10s"]


def test_dino_asks_its_limits_before_the_database(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with opened(
        "dino", databases, postgres, redis_server, rate_limit_requests=8, rate_limit_window_s=600
    ) as house:
        sent: list[str] = []
        payer, payee = house.account(10_00), house.account()
        sa.event.listen(
            house.services.database,
            "before_cursor_execute",
            lambda _, __, statement, *___: sent.append(statement),
        )
        answers: list[httpx.Response] = []
        while not answers or answers[-1].status_code == 201:
            sent.clear()
            answers.append(house.pay(payer, payee, 10))
        assert len(answers) > 1
        assert problem_of(answers[-1]) == "rate-limited"
        assert sent == []


def test_only_the_service_that_has_a_trait_has_it() -> None:
    traits = {name: build.traits for name, build in named_builds().items()}
    plain = traits["hardened"]
    assert [name for name, trait in traits.items() if trait != plain] == ["g-wallet", "dino"]
    assert [name for name, build in named_builds().items() if build.legacy_routes] == ["fragile"]
