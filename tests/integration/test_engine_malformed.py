"""Whatever is sent, `hardened` answers with a problem document and moves no money."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import JSON, Account, House, house_of, problem_of

SECRETS_OF_THE_ENGINE = ("Traceback", "psycopg2", "sqlalchemy", "SELECT ", "INSERT ")


@pytest.fixture(scope="module")
def house(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[House]:
    with house_of("hardened", databases, postgres, redis_server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def payer(house: House) -> Account:
    return house.account(1_000_00)


@pytest.fixture(scope="module")
def payee(house: House) -> Account:
    return house.account()


def send(house: House, payer: Account, path: str, content: bytes, key: str = "") -> httpx.Response:
    headers = {**payer.headers, **JSON, "Idempotency-Key": key or "malformed"}
    answer: Any = house.http.post(f"/v1{path}", content=content, headers=headers)
    return answer  # type: ignore[no-any-return]


def assert_refused(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    problem_of(answer)
    json.loads(answer.content, parse_constant=pytest.fail)
    assert not any(word in answer.text for word in SECRETS_OF_THE_ENGINE)


MONEY = '{"amount": 1}'
"""Bare, this is money; as the amount within money it is none."""
AMOUNTS = [
    "-1", "0", "-0", "-0.0", "0.5", "1.0", "1e3", "1e400", "-1e400", "NaN", "Infinity",
    "-Infinity", "9007199254740992", "9" * 400, "9" * 5000, "true", "false", "null", '"1"', '""',
    "[]", "[1]", "{}", MONEY, "0.1e1", "1.25", "12345678901234567890.5",
]  # fmt: skip


CASES = [(a, nested) for a in AMOUNTS for nested in (True, False) if nested or a != MONEY]


@pytest.mark.parametrize(
    ("amount", "nested"), CASES, ids=[f"{a[:24]}-{'in money' if n else 'bare'}" for a, n in CASES]
)
def test_amounts(house: House, payer: Account, payee: Account, amount: str, nested: bool) -> None:
    before = house.money_and_keys()
    money = f'{{"amount": {amount}, "asset": "USD"}}' if nested else amount
    transfer = (
        f'{{"from_wallet_id": {payer.wallet_id}, "to_wallet_id": {payee.wallet_id}, '
        f'"amount": {money}}}'
    )
    chain = (
        f'{{"movements": [{{"type": "WITHDRAWAL", "wallet_id": {payer.wallet_id}, '
        f'"amount": {money}}}]}}'
    )
    single = f'{{"amount": {money}}}'
    bodies = {
        "/transfers": transfer,
        "/chains": chain,
        f"/wallets/{payer.wallet_id}/withdrawals": single,
        f"/wallets/{payer.wallet_id}/deposits": single,
    }
    for path, body in bodies.items():
        assert_refused(send(house, payer, path, body.encode()))
    assert house.money_and_keys() == before


@pytest.mark.parametrize(
    "wallet_id",
    ["true", "null", '"1"', "1.0", "1.5", "0", "-1", "NaN", "1e400", "[]", "{}", str(2**63),
     "9" * 5000, '"\\u0000"', '"\\ud800"'],
    ids=lambda w: w[:24],
)  # fmt: skip
def test_wallet_ids(house: House, payer: Account, wallet_id: str) -> None:
    before = house.money_and_keys()
    for names in (("from_wallet_id", "to_wallet_id"), ("to_wallet_id", "from_wallet_id")):
        body = (
            f'{{"{names[0]}": {wallet_id}, "{names[1]}": {payer.wallet_id}, '
            '"amount": {"amount": 1}}'
        )
        assert_refused(send(house, payer, "/transfers", body.encode()))
    bulk = send(house, payer, "/wallets/balances", f'{{"wallet_ids": [{wallet_id}]}}'.encode())
    assert_refused(bulk)
    assert house.money_and_keys() == before


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no json": b"{",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "a string": b'"x"',
    "an empty object": b"{}",
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
    "nested where an amount is": b'{"amount":' + b"[" * 900 + b"]" * 900 + b"}",
    "invalid UTF-8": b'{"from_wallet_id": "\xff\xfe"}',
    "lone surrogates": b'{"amount": {"amount": 1, "asset": "\\ud800", "\\ud800": 1}}',
    "NUL": b'{"amount": {"amount": 1, "asset": "\\u0000"}}',
    "UTF-16": '{"from_wallet_id": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "an unknown field as long as a novel": b'{"amount": {"amount": 1, "'
    + b"n" * 90_000
    + b'": 1}}',
    "too large": b'{"x": "' + b"x" * 300_000 + b'"}',
    "control characters": b'{"amount": "\x01"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_bodies(house: House, payer: Account, body: bytes) -> None:
    before = house.money_and_keys()
    for path in ("/transfers", "/chains", f"/wallets/{payer.wallet_id}/deposits"):
        answer = send(house, payer, path, body)
        assert_refused(answer)
        assert len(answer.content) < 5_000, "what was sent is not echoed"
    for path in ("/users", "/auth/token", "/wallets/balances"):
        assert_refused(send(house, payer, path, body))
    assert house.money_and_keys() == before


TEXTS = ["\\u0000", "a\\u0000b", "\\ud800", "\\n", "x" * 300]


@pytest.mark.parametrize("text", TEXTS, ids=lambda t: t[:12])
def test_texts_that_postgresql_cannot_store(house: House, payer: Account, text: str) -> None:
    before = house.money_and_keys()
    for path, body in {
        "/users": f'{{"username": "{text}"}}',
        "/users ": f'{{"username": "ok-name", "email": "{text}"}}',
        "/auth/token": f'{{"username": "{text}", "password": "12345678"}}',
        "/wallets": f'{{"asset": "{text}"}}',
    }.items():
        assert_refused(send(house, payer, path.strip(), body.encode()))
    assert house.money_and_keys() == before


def test_passwords_may_hold_any_text_that_can_be_encoded(house: House, payer: Account) -> None:
    ok = send(house, payer, "/users", b'{"username": "nul", "password": "1234\\u00005678"}')
    assert ok.status_code == 201
    bad = send(house, payer, "/users", b'{"username": "sur", "password": "12345678\\ud800"}')
    assert problem_of(bad) == "invalid-request"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/wallets/0", "/v1/wallets/-1", "/v1/wallets/abc", "/v1/wallets/9223372036854775808",
        "/v1/wallets/1.5", "/v1/wallets/%00", "/v1/wallets/1%00", "/v1/wallets/%ff",
        "/v1/wallets/1/entries?limit=0", "/v1/wallets/1/entries?limit=99999", "/v1/users/x",
        "/v1/users/99999999999999999999", "/v1/transfers/1", "/v1/transfers/%00",
        "/v1/idempotency/%00", "/v1/idempotency/a?route=%00", "/v1/idempotency/a?route=GET%20/x",
        "/v1/idempotency/" + "x" * 256, "/v1/wallets?limit=-1", "/v1/nowhere", "/nowhere",
        "/v1/transfers/", "/v1//transfers",
    ],
)  # fmt: skip
def test_paths(house: House, payer: Account, path: str) -> None:
    answer: Any = house.http.get(path, headers=payer.headers, follow_redirects=False)
    assert 400 <= answer.status_code < 500, answer.text
    problem_of(answer)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/v1/transfers"), ("PUT", "/v1/users"), ("GET", "/v1/auth/token"),
     ("OPTIONS", "/v1/transfers"), ("PROPFIND", "/v1/users")],
)  # fmt: skip
def test_methods(house: House, method: str, path: str) -> None:
    answer: Any = house.http.request(method, path)
    assert problem_of(answer) == "method-not-allowed"
    assert answer.headers["Allow"]


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data", "x", ""])
def test_content_types(house: House, payer: Account, payee: Account, kind: str) -> None:
    before = house.money_and_keys()
    body = {"from_wallet_id": payer.wallet_id, "to_wallet_id": payee.wallet_id,
            "amount": house.money(1)}  # fmt: skip
    headers = {**payer.headers, "Idempotency-Key": "type", "Content-Type": kind}
    answer: Any = house.http.post("/v1/transfers", content=json.dumps(body), headers=headers)
    assert problem_of(answer) == "unsupported-media-type"
    assert house.money_and_keys() == before


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([0, 1, 2, 2**53, "USD", "GOLD", "WITHDRAWAL"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["amount", "asset", "type", "wallet_id", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
FIELDS = ["from_wallet_id", "to_wallet_id", "amount", "movements", "wallet_ids", "username"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=4) | JSON_VALUES)
def test_any_json_at_all(house: House, payer: Account, body: Any) -> None:
    """Nobody can pay from wallets 1 and 2: they are the system's."""
    before = house.money_and_keys()
    content = json.dumps(body).encode()
    for path in ("/transfers", "/chains", f"/wallets/{payer.wallet_id}/deposits"):
        assert 400 <= send(house, payer, path, content, key="any").status_code < 500
    assert house.money_and_keys() == before
    bulk = send(house, payer, "/wallets/balances", content)
    assert bulk.status_code < 500
