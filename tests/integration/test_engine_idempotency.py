"""One key, one effect, one answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import psycopg2
import pytest
from redis import Redis

from engine.ownership import poll
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import House, house_of, problem_of


@pytest.fixture(scope="module", params=["hardened", "hardened,replay_cache=off", "hardened-fast"])
def house(
    request: pytest.FixtureRequest,
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> Iterator[House]:
    with house_of(request.param, databases, postgres, redis_server.url) as opened:
        yield opened


def test_a_repeated_key_gets_the_same_bytes_and_moves_nothing(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    first = house.pay(payer, payee, 1_00, key="once")
    before = house.money_and_keys()
    again = house.pay(payer, payee, 1_00, key="once")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert house.money_and_keys() == before


def test_a_key_means_the_same_bare_or_quoted(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    first = house.pay(payer, payee, 1_00, key="abc/1")
    assert house.pay(payer, payee, 1_00, key='"abc/1"').content == first.content


def test_another_payload_under_the_key_is_refused(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    house.pay(payer, payee, 1_00, key="reused")
    answer = house.pay(payer, payee, 1_01, key="reused")
    assert (problem_of(answer), answer.status_code) == ("idempotency-key-reused", 422)
    assert house.balance(payer) == 9_00


def test_a_refusal_is_final_also_when_money_has_come_meanwhile(house: House) -> None:
    payer, payee = house.account(1_00), house.account()
    first = house.pay(payer, payee, 5_00, key="poor")
    house.deposit(payer.wallet_id, 10_00)
    again = house.pay(payer, payee, 5_00, key="poor")
    assert problem_of(first) == "insufficient-funds"
    assert (again.status_code, again.content) == (402, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["content-type"] == "application/problem+json"
    assert house.pay(payer, payee, 5_00, key="rich").status_code == 201


def test_what_is_refused_before_the_key_is_not_stored(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    assert problem_of(house.pay(payer, payee, -1, key="second try")) == "idempotency-key-malformed"
    assert problem_of(house.pay(payer, payee, -1, key="second-try")) == "invalid-request"
    assert house.pay(payer, payee, 1_00, key="second-try").status_code == 201


def test_a_key_belongs_to_its_caller_and_route(house: House) -> None:
    first, second = house.account(10_00), house.account(10_00)
    one = house.pay(first, second, 1_00, key="mine")
    other = house.pay(second, first, 1_00, key="mine")
    path = f"/wallets/{first.wallet_id}/withdrawals"
    out = house.post(path, {"amount": house.money(1_00)}, first.headers, key="mine")
    assert [one.status_code, other.status_code, out.status_code] == [201, 201, 201]
    assert len({a.json()["id"] for a in (one, other, out)}) == 3


def test_a_twin_gets_409_while_the_first_waits_for_the_wallet(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with (
        ThreadPoolExecutor(1) as threads,
        closing(psycopg2.connect(house.database_url)) as side,
        side.cursor() as cursor,
    ):
        cursor.execute("SELECT 1 FROM wallets WHERE id = %s FOR UPDATE", (payer.wallet_id,))
        first = threads.submit(house.pay, payer, payee, 1_00, key="twin")
        assert poll(lambda: bool(house.rows(waiting)), 5)
        twin = house.pay(payer, payee, 1_00, key="twin")
        side.rollback()
        answer = first.result()
    assert (problem_of(twin), twin.status_code) == ("idempotency-key-in-flight", 409)
    assert twin.headers["Retry-After"] == "1"
    assert twin.json()["retry_with_same_key"]
    assert answer.status_code == 201
    assert house.pay(payer, payee, 1_00, key="twin").content == answer.content
    assert house.balance(payer) == 9_00


def _write_over(client: "Redis", *, names: str, text: str) -> None:
    for name in client.keys(names):
        client.set(name, text)


def test_what_redis_holds_by_mistake_is_no_replay(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    first = house.pay(payer, payee, 1_00, key="garbled")
    namespace = house.services.settings.redis_namespace
    for text in ("{", "[]", "{}", "null"):
        house.services.redis.call(partial(_write_over, names=f"{namespace}:replay:*", text=text))
        assert house.pay(payer, payee, 1_00, key="garbled").content == first.content


def test_a_twin_may_wait_instead(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    build = "hardened,key_in_flight=wait,replay_cache=off"
    with house_of(build, databases, postgres, redis_server.url) as house:
        payer, payee = house.account(10_00), house.account()
        with ThreadPoolExecutor(6) as threads:
            tasks = [threads.submit(house.pay, payer, payee, 1_00, key="k") for _ in range(6)]
            answers = [task.result() for task in tasks]
        assert {(a.status_code, a.content) for a in answers} == {(201, answers[0].content)}
        assert sum("Idempotent-Replayed" in a.headers for a in answers) == 5
        assert house.balance(payer) == 9_00


def test_the_key_tells_what_became_of_a_request(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    sent = house.pay(payer, payee, 1_00, key="what/became")
    found = house.get("/idempotency/what/became", payer.headers).json()
    assert (found["status"], found["body"]) == (201, sent.json())
    assert problem_of(house.get("/idempotency/what/became", payee.headers)) == "not-found"
    assert problem_of(house.get("/idempotency/never", payer.headers)) == "not-found"


@pytest.mark.parametrize(
    "key",
    [
        "",
        " ",
        '""',
        '"unterminated',
        "a b",
        "ä".encode(),
        "x" * 256,
        "tab\there",
        b"\xff",
        "é".encode("latin-1"),
    ],
)
def test_a_malformed_key_is_400(house: House, key: str | bytes) -> None:
    payer, payee = house.account(10_00), house.account()
    body = {"from_wallet_id": payer.wallet_id, "to_wallet_id": payee.wallet_id}
    headers = {**payer.headers, "Idempotency-Key": key}
    answer = house.http.post(
        "/v1/transfers",
        json=body | {"amount": house.money(1)},
        headers=headers,
    )
    assert problem_of(answer) == "idempotency-key-malformed"


def test_no_key_and_two_keys_are_400(house: House) -> None:
    payer = house.account()
    path, headers = "/v1/transfers", list(payer.headers.items())
    none = house.http.post(path, json={}, headers=headers)
    two = [*headers, ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert problem_of(none) == "idempotency-key-missing"
    assert problem_of(house.http.post(path, json={}, headers=two)) == "idempotency-key-malformed"


def test_key_and_money_are_committed_together(house: House) -> None:
    """The connection dies between the claim and the money: neither stays."""
    payer, payee = house.account(10_00), house.account()
    with (
        ThreadPoolExecutor(1) as threads,
        closing(psycopg2.connect(house.database_url)) as side,
        side.cursor() as cursor,
    ):
        cursor.execute("SELECT 1 FROM wallets WHERE id = %s FOR UPDATE", (payer.wallet_id,))
        first = threads.submit(house.pay, payer, payee, 1_00, key="dies")
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        assert poll(lambda: bool(house.rows(waiting)), 5)
        house.rows(f"SELECT pg_terminate_backend(({waiting}))")
        answer = first.result()
    # Who commits by the same call cannot know that it did not.
    unknown = house.services.whole_transfers is not None
    expected = ("outcome-unknown", 504) if unknown else ("unavailable", 503)
    assert (problem_of(answer), answer.status_code) == expected
    assert house.rows("SELECT 1 FROM idempotency_keys WHERE key = 'dies'") == []
    assert house.pay(payer, payee, 1_00, key="dies").status_code == 201
