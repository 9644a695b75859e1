"""A transfer of one call: its one round trip, what goes wrong with it, and another build beside."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Any

import httpx
import psycopg2
import pytest

from engine import whole_transfers
from engine.defences import parse_build
from engine.ownership import poll
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import (
    OPERATOR_PASSWORD,
    Account,
    House,
    house_in,
    house_of,
    problem_of,
)
from tests.integration.lossy_forwarder import Forwarder, forwarder_to

FAIL_AT = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'made to fail' USING ERRCODE = '{sqlstate}';
END $$;
CREATE TRIGGER fail BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION fail();
"""
STOP_FAILING = "DROP FUNCTION fail CASCADE"
END_ALL = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
WAITING = (
    "SELECT pid FROM pg_stat_activity "
    "WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@pytest.fixture(scope="module")
def house(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[House]:
    with house_of("hardened-fast", databases, postgres, redis_server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def distant(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[tuple[House, Forwarder]]:
    url = postgres.url(databases.create(parse_build("hardened-fast").defences))
    with (
        forwarder_to(url) as forwarder,
        house_in(
            forwarder.url, "hardened-fast", redis_server.url, operator_password=OPERATOR_PASSWORD
        ) as opened,
    ):
        yield opened, forwarder


@contextmanager
def held(house: House, account: Account) -> Iterator[None]:
    """Somebody else has the wallet's row meanwhile."""
    with closing(psycopg2.connect(house.database_url)) as side, side.cursor() as cursor:
        cursor.execute("SELECT 1 FROM wallets WHERE id = %s FOR UPDATE", (account.wallet_id,))
        yield


def wait_for(house: House, waiting: int) -> None:
    assert poll(lambda: len(house.rows(WAITING)) >= waiting, 5)


def test_a_transfer_is_one_round_trip(distant: tuple[House, Forwarder]) -> None:
    house, forwarder = distant
    payer, payee = house.account(10_00), house.account()
    for key in ("first", "second"):
        forwarder.sent.clear()
        assert house.pay(payer, payee, 1_00, key=key).status_code == 201
    assert [chunk[5:24] for chunk in forwarder.sent] == [b"CALL whole_transfer"]
    forwarder.sent.clear()
    assert house.pay(payer, payee, 1_00, key=key).headers["Idempotent-Replayed"] == "true"
    assert house.pay(payer, payee, 50_00).status_code == 402
    assert house.pay(payer, payee, 2_00, key=key).status_code == 422
    assert len(forwarder.sent) == 3


def test_a_lost_answer_leaves_the_outcome_unknown_and_the_key_tells(
    distant: tuple[House, Forwarder],
) -> None:
    house, forwarder = distant
    payer, payee = house.account(10_00), house.account()
    assert house.balance(payer) == 10_00  # Cached from now on.
    forwarder.what, forwarder.losses = b"CALL whole_transfer", 1
    lost = house.pay(payer, payee, 1_00, key="lost")
    assert (problem_of(lost), lost.status_code) == ("outcome-unknown", 504)
    assert (lost.json()["retriable"], lost.json()["retry_with_same_key"]) == (False, True)
    assert b"done" in forwarder.lost[-1]
    assert house.balance(payer) == 9_00
    again = house.pay(payer, payee, 1_00, key="lost")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert (house.balance(payer), house.balance(payee)) == (9_00, 1_00)


def test_only_the_blind_run_a_lost_call_again_and_the_key_saves_them(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    url = postgres.url(databases.create(parse_build("hardened-fast").defences))
    build = "hardened-fast,retry=blind"
    with (
        forwarder_to(url) as forwarder,
        house_in(
            forwarder.url, build, redis_server.url, operator_password=OPERATOR_PASSWORD
        ) as house,
    ):
        payer, payee = house.account(10_00), house.account()
        forwarder.what, forwarder.losses = b"CALL whole_transfer", 1
        answer = house.pay(payer, payee, 1_00, key="lost")
        assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")
        assert (house.balance(payer), house.balance(payee)) == (9_00, 1_00)


def test_connections_that_the_server_has_ended_are_not_called_on(house: House) -> None:
    """Nothing was sent on them, so that nothing is unknown: another one is taken."""
    payer, payee = house.account(10_00), house.account()
    with ThreadPoolExecutor(4) as threads:
        for _ in range(2):
            answers = list(threads.map(lambda _: house.pay(payer, payee, 1), range(8)))
            assert {answer.status_code for answer in answers} == {201}
            house.rows(END_ALL)
    assert house.rows("SELECT balance FROM wallets WHERE id = %s", payer.wallet_id) == [(9_84,)]
    house.services.database.dispose()


def test_without_a_database_nothing_was_sent(
    databases: Databases, postgres: PostgresServer
) -> None:
    with house_of("hardened-fast", databases, postgres, "") as house:
        payer, payee = house.account(10_00), house.account()
        name = house.database_url.rpartition("/")[2]
        with closing(psycopg2.connect(postgres.url("postgres"))) as side:
            side.autocommit = True
            side.cursor().execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            house.rows(END_ALL)
            answer = house.pay(payer, payee, 1_00, key="away")
            assert (problem_of(answer), answer.status_code) == ("unavailable", 503)
            side.cursor().execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        answer = house.pay(payer, payee, 1_00, key="away")
        assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (201, False)


@pytest.mark.parametrize("bound", ["lock_timeout_ms", "statement_timeout_ms"])
def test_who_waits_too_long_has_committed_nothing(
    bound: str, databases: Databases, postgres: PostgresServer
) -> None:
    with house_of("hardened-fast", databases, postgres, "", **{bound: 200}) as house:
        payer, payee = house.account(10_00), house.account()
        before = house.money_and_keys()
        with held(house, payee):
            answer = house.pay(payer, payee, 1_00, key="late")
        assert (problem_of(answer), answer.status_code) == ("unavailable", 503)
        assert house.money_and_keys() == before
        assert house.rows("SELECT 1 FROM idempotency_keys WHERE key = 'late'") == []
        assert house.pay(payer, payee, 1_00, key="late").status_code == 201


FAULTS = [
    ("UPDATE", "wallets", "40001"),
    ("INSERT", "transactions", "40P01"),
    ("INSERT", "ledger_entries", "55P03"),
    ("INSERT", "idempotency_keys", "57014"),
]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_in_the_call_leaves_nothing_and_is_told(
    fault: tuple[str, str, str], house: House
) -> None:
    event, table, sqlstate = fault
    payer, payee = house.account(10_00), house.account()
    before = house.money_and_keys()
    house.rows(FAIL_AT.format(event=event, table=table, sqlstate=sqlstate))
    answer = house.pay(payer, payee, 1_00, key=sqlstate)
    house.rows(STOP_FAILING)
    assert (problem_of(answer), answer.status_code) == ("unavailable", 503)
    assert house.money_and_keys() == before
    again = house.pay(payer, payee, 1_00, key=sqlstate)
    assert (again.status_code, "Idempotent-Replayed" in again.headers) == (201, False)


def test_a_call_that_lost_a_race_is_run_again_and_not_for_ever(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    house.rows("CREATE SEQUENCE tries")
    for failing, status, tries in ((4, 201, 5), (9, 503, 5)):
        house.rows("ALTER SEQUENCE tries RESTART")
        house.rows(
            "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF nextval('tries') > {failing} THEN RETURN NEW; END IF; "
            "RAISE EXCEPTION 'made to fail' USING ERRCODE = '40P01'; END $$; "
            "CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON transactions "
            "FOR EACH ROW EXECUTE FUNCTION fail()"
        )
        assert house.pay(payer, payee, 1_00).status_code == status
        assert house.rows("SELECT last_value FROM tries") == [(tries,)]
    house.rows(STOP_FAILING)
    house.rows("DROP SEQUENCE tries")
    assert (house.balance(payer), house.balance(payee)) == (9_00, 1_00)


def test_while_the_first_waits_its_twin_is_told_and_the_pin_still_counts(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    wrong = replace(payer, headers={**payer.headers, "X-Pin": "0815"})
    with ThreadPoolExecutor(1) as threads:
        with held(house, payee):
            first = threads.submit(house.pay, payer, payee, 1_00, key="twin")
            wait_for(house, 1)
            assert problem_of(house.pay(payer, payee, 1_00, key="twin")) == (
                "idempotency-key-in-flight"
            )
            # Also the row of their own user keeps nobody waiting.
            for _ in range(5):
                assert problem_of(house.pay(wrong, payee, 1_00, key="twin")) == "pin-wrong"
            assert problem_of(house.pay(payer, payee, 1_00, key="twin")) == "pin-locked"
        assert first.result().status_code == 201
    assert (house.balance(payer), house.balance(payee)) == (9_00, 1_00)


def test_nobody_gets_a_connection_that_commits_by_itself(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer, payee = house.account(10_00), house.account()
    assert house.pay(payer, payee, 1_00).status_code == 201
    assert house.pay(payer, payee, 50_00).status_code == 402
    with monkeypatch.context() as patched:
        # What comes back is not as expected: a mistake of ours, and no error of the database.
        patched.setattr(whole_transfers, "CALL", "SELECT %s" + ", %s" * 17)
        assert house.pay(payer, payee, 1_00).status_code == 500
    with ExitStack() as opened:
        taken = [house.services.database.raw_connection() for _ in range(3)]
        for connection in taken:
            opened.callback(connection.close)
        assert [getattr(c.dbapi_connection, "autocommit", None) for c in taken] == [False] * 3
    assert house.balance(payer) == 9_00


@pytest.fixture(scope="module")
def both(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[dict[str, House]]:
    """Two builds, one database, one Redis."""
    url = postgres.url(databases.create(parse_build("hardened").defences))
    with (
        house_in(
            url, "hardened", redis_server.url, operator_password=OPERATOR_PASSWORD,
            redis_namespace="both",
        ) as slow,
        house_in(url, "hardened-fast", redis_server.url, redis_namespace="both") as fast,
    ):  # fmt: skip
        yield {"hardened": slow, "hardened-fast": fast}


PAIRS = [("hardened", "hardened-fast"), ("hardened-fast", "hardened")]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_what_one_build_has_kept_the_other_repeats(
    both: dict[str, House], first: str, second: str
) -> None:
    one, other = both[first], both[second]
    payer, payee = one.account(10_00), one.account()
    for amount, key in ((1_00, f"paid-{first}"), (50_00, f"refused-{first}")):
        answer = one.pay(payer, payee, amount, key=key)
        again = other.pay(payer, payee, amount, key=key)
        assert again.content == answer.content
        assert (again.status_code, again.headers["content-type"]) == (
            answer.status_code, answer.headers["content-type"],
        )  # fmt: skip
        assert again.headers["Idempotent-Replayed"] == "true"
        assert problem_of(other.pay(payer, payee, 2, key=key)) == "idempotency-key-reused"
    assert (other.balance(payer), one.balance(payee)) == (9_00, 1_00)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_twin_at_another_build_is_told_that_the_first_is_in_flight(
    both: dict[str, House], first: str, second: str
) -> None:
    one, other = both[first], both[second]
    payer, payee = one.account(10_00), one.account()
    with ThreadPoolExecutor(1) as threads:
        with held(one, payee):
            waiting = threads.submit(one.pay, payer, payee, 1_00, key=f"twin-{first}")
            wait_for(one, 1)
            twin = other.pay(payer, payee, 1_00, key=f"twin-{first}")
            assert problem_of(twin) == "idempotency-key-in-flight"
        answer = waiting.result()
    assert answer.status_code == 201
    again = other.pay(payer, payee, 1_00, key=f"twin-{first}")
    assert (again.content, again.headers["Idempotent-Replayed"]) == (answer.content, "true")


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_builds_that_pay_from_one_wallet_wait_for_each_other(
    both: dict[str, House], first: str, second: str
) -> None:
    """The whole balance twice, and both wait for the wallet before either goes on."""
    house = both["hardened"]
    payer, shop, mall = house.account(10_00), house.account(), house.account()
    with ThreadPoolExecutor(2) as threads:
        tasks: list[Future[httpx.Response]] = []
        with held(house, payer):
            for build, payee in ((first, shop), (second, mall)):
                tasks.append(threads.submit(both[build].pay, payer, payee, 10_00))
                wait_for(house, len(tasks))
        statuses = [task.result().status_code for task in tasks]
    assert sorted(statuses) == [201, 402]
    assert house.balance(payer) == 0


def test_a_key_that_another_build_takes_without_its_lock_is_repeated(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    """`key_in_flight=wait` claims by the row alone: the call finds it too late and begins anew."""
    url = postgres.url(databases.create(parse_build("hardened").defences))
    waits = "hardened,key_in_flight=wait"
    with (
        house_in(url, waits, redis_server.url, operator_password=OPERATOR_PASSWORD) as slow,
        house_in(url, "hardened-fast", redis_server.url) as fast,
        ThreadPoolExecutor(2) as threads,
    ):
        payer, payee = slow.account(10_00), slow.account()
        with held(slow, payee):
            tasks: list[Future[Any]] = []
            for house in (slow, fast):
                tasks.append(threads.submit(house.pay, payer, payee, 1_00, key="one"))
                wait_for(slow, len(tasks))
        answers = [task.result() for task in tasks]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].content == answers[1].content
        assert (slow.balance(payer), slow.balance(payee)) == (9_00, 1_00)
