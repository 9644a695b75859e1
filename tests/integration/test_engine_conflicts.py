"""Two movements of one wallet where PostgreSQL itself refuses one: who re-reads, and who does not.

The order is forced: a side session holds the payer's row, the engine is seen waiting for it, the
side session commits its own change. At SERIALIZABLE the engine's write then fails with 40001.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx
import psycopg2
import pytest
import sqlalchemy as sa

from engine.locking import LOCK_CLASS
from engine.ownership import poll
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import Account, House, house_of, problem_of

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
REFUSE_AT_COMMIT = """
CREATE SEQUENCE refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('refusals') <= {times} THEN
        RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON transactions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
"""
"""A sequence keeps counting when its database transaction is rolled back."""


def paid_meanwhile(house: House, payer: Account, payee: Account) -> httpx.Response:
    """The engine pays 10.00 of the payer's 100.00 while a side session takes 30.00."""
    database = house.database_url.rpartition("/")[2]
    with (
        ThreadPoolExecutor(1) as threads,
        closing(psycopg2.connect(house.database_url)) as side,
        side.cursor() as cursor,
    ):
        cursor.execute(
            "UPDATE wallets SET balance = balance - 3000, version = version + 1 WHERE id = %s",
            (payer.wallet_id,),
        )
        answer: Future[httpx.Response] = threads.submit(house.pay, payer, payee, 10_00)
        assert poll(lambda: bool(house.rows(WAITING, database)), 5)
        side.commit()
        return answer.result()


@pytest.mark.parametrize(
    ("changes", "status", "left"),
    [
        ("locking=serializable", 201, 60_00),
        ("locking=serializable,execution=orm", 201, 60_00),
        ("locking=serializable,retry=blind", 201, 60_00),
        ("locking=serializable,retry=none", 500, 70_00),
        ("locking=serializable,retry=stale_values", 201, 90_00),  # The 30.00 are back.
        ("locking=serializable,retry=stale_values,execution=orm", 201, 90_00),
        ("locking=row,retry=stale_values", 201, 60_00),
        ("locking=conditional,retry=none", 201, 60_00),
        ("locking=conditional,retry=stale_values,execution=orm", 201, 60_00),
        ("locking=version,retry=stale_values", 409, 70_00),
        ("locking=none", 201, 90_00),
    ],
)
def test_a_change_from_beside_survives_only_where_values_are_read_anew(
    changes: str, status: int, left: int, databases: Databases, postgres: PostgresServer
) -> None:
    with house_of(f"hardened,{changes}", databases, postgres, "") as house:
        payer, payee = house.account(100_00), house.account()
        answer = paid_meanwhile(house, payer, payee)
        assert (answer.status_code, house.balance(payer)) == (status, left)
        assert house.balance(payee) == (10_00 if status == 201 else 0)


@contextmanager
def refusing_at_commit(
    build: str, times: int, databases: Databases, postgres: PostgresServer
) -> Iterator[tuple[House, Account, Account]]:
    """The next COMMITs of a movement fail with 40001; nothing of them stays."""
    with house_of(build, databases, postgres, "") as house:
        payer, payee = house.account(100_00), house.account()
        house.rows(REFUSE_AT_COMMIT.format(times=times))
        yield house, payer, payee


@pytest.mark.parametrize(
    ("build", "failures", "status"),
    [
        ("hardened,locking=serializable", 4, 201),
        ("hardened,locking=serializable", 5, 503),
        ("hardened,locking=serializable,execution=orm", 4, 201),
        ("hardened,retry=stale_values", 1, 201),
        ("hardened,retry=blind", 4, 201),
        ("hardened,retry=none", 1, 500),
        ("hardened,unit_of_work=swallow_then_commit", 1, 201),
    ],
)
def test_a_refusal_at_commit_is_run_again_wholly(
    build: str, failures: int, status: int, databases: Databases, postgres: PostgresServer
) -> None:
    with refusing_at_commit(build, failures, databases, postgres) as (house, payer, payee):
        answer = house.pay(payer, payee, 10_00, key="at-commit")
        assert answer.status_code == status
        assert house.balance(payer) == (90_00 if status == 201 else 100_00)
        if status == 503:
            assert (problem_of(answer), answer.json()["retriable"]) == ("unavailable", True)
        again = house.pay(payer, payee, 10_00, key="at-commit")
        assert (again.status_code, house.balance(payer)) == (201, 90_00)
        assert house.get("/ledger/reconciliation", house.operator).status_code == 200


def test_stale_values_are_also_written_where_the_rows_had_been_locked(
    databases: Databases, postgres: PostgresServer
) -> None:
    """The locks went with the first run; whoever pays before the second one is written over."""
    build = "hardened,retry=stale_values"
    with refusing_at_commit(build, 1, databases, postgres) as (house, payer, payee):
        other = house.account()
        claims: list[str] = []

        def pay_between(_: object, __: object, statement: str, *___: object) -> None:
            if "INSERT INTO idempotency_keys" not in statement:
                return
            claims.append(statement)
            if len(claims) == 2:
                change = "UPDATE wallets SET balance = balance + %s WHERE id = %s"
                house.rows(change, -30_00, payer.wallet_id)
                house.rows(change, 30_00, other.wallet_id)

        sa.event.listen(house.services.database, "before_cursor_execute", pay_between)
        assert house.pay(payer, payee, 10_00).status_code == 201
        assert len(claims) == 2
        assert (house.balance(payer), house.balance(payee)) == (90_00, 10_00)
        assert house.balance(other) == 30_00  # More money than there was.


def test_advisory_locks_are_waited_for_and_nothing_is_left_of_them(
    databases: Databases, postgres: PostgresServer
) -> None:
    with house_of("hardened,locking=advisory", databases, postgres, "") as house:
        payer, payee = house.account(100_00), house.account(100_00)
        database = house.database_url.rpartition("/")[2]
        lock = f"SELECT pg_advisory_xact_lock(hashtextextended('{LOCK_CLASS} ' || %s, 0))"
        with (
            ThreadPoolExecutor(2) as threads,
            closing(psycopg2.connect(house.database_url)) as side,
            side.cursor() as cursor,
        ):
            cursor.execute(lock, (payer.wallet_id,))
            tasks = [
                threads.submit(house.pay, *pair, 10_00) for pair in ((payer, payee), (payee, payer))
            ]
            assert poll(lambda: len(house.rows(WAITING, database)) == 2, 5)
            side.rollback()
            assert [task.result().status_code for task in tasks] == [201, 201]
        assert (house.balance(payer), house.balance(payee)) == (100_00, 100_00)
        assert house.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == []


def levels_seen(house: House) -> Counter[str]:
    """The isolation level at each statement of one transfer."""
    seen: Counter[str] = Counter()

    def note(
        connection: sa.Connection, cursor: psycopg2.extensions.cursor, sql: str, *_: object
    ) -> None:
        if "revoked_tokens" in sql or sql.startswith("UPDATE users"):
            return  # Token and PIN are checked before the movement begins.
        own = cursor.connection.cursor()
        own.execute("SHOW transaction_isolation")
        seen[str((own.fetchone() or ("",))[0])] += 1

    payer, payee = house.account(10_00), house.account()
    sa.event.listen(house.services.database, "after_cursor_execute", note)
    assert house.pay(payer, payee, 1_00).status_code == 201
    sa.event.remove(house.services.database, "after_cursor_execute", note)
    return seen


@pytest.mark.parametrize(
    ("build", "levels"),
    [
        ("hardened,locking=serializable", {"serializable"}),
        ("fragile,locking=serializable", {"serializable"}),
        ("hardened,locking=serializable,unit_of_work=per_movement", {"serializable"}),
        ("hardened", {"read committed"}),
    ],
)
def test_every_statement_of_a_movement_runs_at_its_level(
    build: str,
    levels: set[str],
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> None:
    with house_of(build, databases, postgres, redis_server.url) as house:
        assert set(levels_seen(house)) == levels


@pytest.mark.parametrize("execution", ["core", "orm"])
@pytest.mark.parametrize("locking", ["serializable", "advisory", "conditional"])
def test_twenty_at_once_cannot_spend_twice(
    locking: str, execution: str, databases: Databases, postgres: PostgresServer
) -> None:
    build = f"hardened,locking={locking},execution={execution}"
    with house_of(build, databases, postgres, "", engine_pool_size=20) as house:
        payer, payee = house.account(100_00), house.account()
        with ThreadPoolExecutor(20) as threads:
            tasks = [threads.submit(house.pay, payer, payee, 100_00) for _ in range(20)]
            statuses = Counter(task.result().status_code for task in tasks)
        assert statuses[201] == 1
        assert set(statuses) <= {201, 402, 503}
        assert (house.balance(payer), house.balance(payee)) == (0, 100_00)
        assert house.get("/ledger/reconciliation", house.operator).status_code == 200
