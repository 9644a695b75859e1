"""Whatever is wrong with a request to any endpoint: a problem document, and nothing has changed.

The endpoints are those of the served OpenAPI document, so that a new one is tested by itself.
"""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.provision import Databases
from engine.refusals import PROBLEMS
from engine.stores import PostgresServer, RedisServer
from tests.integration.batch_client import batch_of, executed
from tests.integration.engine_client import JSON, Account, House, house_of, problem_of
from tests.integration.served_operations import METHODS, Operation, operations_of

OPERATIONS = operations_of("hardened")
PATHS = sorted({operation.path for operation in OPERATIONS})
KEY, PIN_HEADER = "Idempotency-Key", "X-Pin"
SAYS_TOO_MUCH = (
    "Traceback", "psycopg", "sqlalchemy", "pydantic", "SELECT ", "INSERT ", "UPDATE ", ".py",
    "Error:", "constraint",
)  # fmt: skip
MARKER = "xyzzy-4b1d"
"""Part of what is sent: no answer quotes it."""
KEY_IS_OPTIONAL = {
    "/v1/batches", "/v1/batches/{batch_id}/executions", "/v1/batches/{batch_id}/compensations",
}  # fmt: skip
UNKNOWN = {
    "wallet_id": 2**62, "user_id": 2**62, "batch_id": 2**62, "asset": "NOSUCH",
    "transfer_id": "018f0000-0000-7000-8000-000000000000", "key": "never-used",
    "hold_id": "018f0000-0000-7000-8000-000000000000",
}  # fmt: skip


def named(operations: list[Operation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", operations, ids=str)


@dataclass(frozen=True, kw_only=True)
class World:
    """A house in which every kind of thing exists once, and who may touch them."""

    house: House
    owner: Account
    known: Mapping[str, Any]
    """Values of path parameters and fields that would do."""

    def caller(self, operation: Operation) -> dict[str, str]:
        """Headers with which the request would be right, were it not for its fault."""
        headers = dict(self.owner.headers) | {KEY: secrets.token_hex(8)}
        return {name: value for name, value in headers.items() if operation.secured}

    def send(
        self, operation: Operation, headers: Any, *, url: str = "", **request: Any
    ) -> httpx.Response:
        """Looks at every answer, whatever it is."""
        request_id = f"id-{secrets.token_hex(6)}"
        sent = [("X-Request-Id", request_id), *getattr(headers, "items", lambda: headers)()]
        answer: httpx.Response = self.house.http.request(
            operation.method, url or operation.url(self.known), headers=sent, **request
        )
        assert answer.headers["X-Request-Id"] == request_id
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert_problem(answer, request_id)
        return answer

    def rows(self, *, keys: bool = True) -> dict[str, Any]:
        """A digest of each table; how often a PIN was guessed is not looked at."""
        tables = [
            name
            for (name,) in self.house.rows(
                "SELECT relname FROM pg_class WHERE relkind = 'r' "
                "AND relnamespace = 'public'::regnamespace ORDER BY 1"
            )
            if keys or name != "idempotency_keys"
        ]
        row = "to_jsonb(t) - '{pin_failures,pin_locked_until}'::text[]"
        return {
            table: self.house.rows(
                f"SELECT count(*), md5(string_agg(({row})::text, '' ORDER BY ({row})::text)) "
                f"FROM {table} t"
            )
            for table in tables
        }


def assert_problem(answer: httpx.Response, request_id: str) -> None:
    name = problem_of(answer)
    document = json.loads(answer.content, parse_constant=pytest.fail)
    assert (document["request_id"], PROBLEMS[name].status) == (request_id, answer.status_code)
    if answer.status_code == 422 and name == "invalid-request":
        assert document["errors"]
        assert all(error["field"] and error["message"] for error in document["errors"])
    del document["instance"]  # The path, by the document's definition.
    told = json.dumps(document)
    assert len(told) < 6_000
    assert not [words for words in (*SAYS_TOO_MUCH, MARKER) if words in told], told


def fields_at_fault(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in answer.json()["errors"]]


@pytest.fixture(scope="module")
def world(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[World]:
    much = {"rate_limit_requests": 10**6, "rate_limit_sensitive_requests": 10**6}
    with house_of("hardened", databases, postgres, redis_server.url, **much) as house:
        owner, other = house.account(1_000_00), house.account(1_000_00)
        paid = house.pay(other, owner, 1_00).json()
        body = {"from_wallet_id": other.wallet_id, "to_wallet_id": owner.wallet_id,
                "amount": house.money(1_00)}  # fmt: skip
        hold = house.post("/holds", body, other.headers).json()
        batch = batch_of(house, owner, (other, "1.00"))
        known = {
            "wallet_id": owner.wallet_id, "user_id": owner.user_id, "batch_id": batch,
            "transfer_id": paid["id"], "hold_id": hold["id"], "asset": "USD", "key": "k",
            "from_wallet_id": owner.wallet_id, "to_wallet_id": other.wallet_id,
            "source_wallet_id": owner.wallet_id, "wallet_ids": [owner.wallet_id],
            "pin": "4711", "current_pin": "4711", "password": "correct horse",
            "username": "somebody-new", "amount": house.money(1),
        }  # fmt: skip
        yield World(house=house, owner=owner, known=known)


TAKING_JSON = [operation for operation in OPERATIONS if operation.body is not None]
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{" + MARKER.encode(),
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "a text": json.dumps(MARKER).encode(),
    "no fields": b"{}",
    "NaN": b"NaN",
    "deep lists": b"[" * 50_000 + b"]" * 50_000,
    "deep objects": b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
    "no UTF-8": b'{"username": "\xff\xfe"}',
    "UTF-16": '{"username": "x"}'.encode("utf-16"),
    "a control character": b'{"username": "\x01"}',
    "several megabytes": b'{"username": "' + b"x" * 5_000_000 + b'"}',
    "many small fields": b"{" + b",".join(b'"f%d":0' % n for n in range(50_000)) + b"}",
}


def would_do(operation: Operation, body: bytes) -> bool:
    """Also for the service: then the request is none of ours."""
    if not body:
        return not operation.description["requestBody"].get("required", False)
    try:
        return operation.takes(operation.body, json.loads(body)) and len(body) < 256 * 1024
    except (ValueError, RecursionError):
        return False


@named(TAKING_JSON)
def test_bodies(world: World, operation: Operation) -> None:
    before = world.rows()
    for body in (body for body in BODIES.values() if not would_do(operation, body)):
        answer = world.send(operation, world.caller(operation) | JSON, content=body)
        assert answer.status_code in {400, 413, 422}, (body[:40], answer.text)
    assert world.rows() == before


@named(TAKING_JSON)
def test_content_types(world: World, operation: Operation) -> None:
    before = world.rows()
    body = json.dumps(operation.example(world.known)).encode()
    for kind in ("text/plain", "application/xml", "multipart/form-data", MARKER, "", "text/csv"):
        headers = world.caller(operation) | {"Content-Type": kind}
        answer = world.send(operation, headers, content=body)
        assert problem_of(answer) == "unsupported-media-type", kind
    assert world.rows() == before


VALUES: list[Any] = [
    None, True, 1, 0, -1, 1.5, 2**63, 10**400, "", "1", MARKER, MARKER * 5_000, "a\x00b", "\ud800",
    [], [MARKER], [None], [[[1]]], {}, {"amount": MARKER}, {MARKER: 1}, {"\ud800": 1},
    {"amount": 1, "asset": "a\x00b"}, {"amount": float("nan")}, {"amount": 2**63},
    {"amount": 1.5, "asset": "USD"}, {"amount": -1, "asset": "USD"}, {"amount": "1"},
    float("nan"), float("inf"), float("-inf"),
]  # fmt: skip


@named(TAKING_JSON)
def test_fields(world: World, operation: Operation) -> None:
    """One field at a time is wrong, and is named."""
    before = world.rows()
    example = operation.example(world.known)
    for name, schema in operation.fields().items():
        for value in VALUES:
            if operation.takes(schema, value):
                continue
            body = json.dumps(example | {name: value}).encode()
            headers = world.caller(operation) | JSON
            if "pin" in name:
                del headers[PIN_HEADER]  # The field stands in its place.
            answer = world.send(operation, headers, content=body)
            assert answer.status_code in {400, 413, 422}, (name, value, answer.text)
            if problem_of(answer) == "invalid-request":
                at_fault = fields_at_fault(answer)
                assert all(f == name or f.startswith(f"{name}.") for f in at_fault), at_fault
    assert world.rows() == before


@named(TAKING_JSON)
def test_missing_fields(world: World, operation: Operation) -> None:
    before = world.rows()
    example = operation.example(world.known)
    for name in example:
        rest = {other: value for other, value in example.items() if other != name}
        if operation.takes(operation.body, rest):
            continue
        answer = world.send(operation, world.caller(operation), json=rest)
        assert (problem_of(answer), fields_at_fault(answer)) == ("invalid-request", [name])
    assert world.rows() == before


WITH_PATHS = [operation for operation in OPERATIONS if operation.parameters("path")]
PATH_VALUES = [
    "abc", "0", "-1", "1.5", "true", "null", "1e3", "+1", " 1", str(2**63), "9" * 400, "9" * 5000,
    "%00", "1%00", "%ff", "%ed%a0%80", "%F0%9F%92%B0", "x" * 5000, "%2e%2e", "1%20OR%201=1",
    "018f0000-0000-7000-8000-00000000000", "{}", "%0d%0aX-Evil:1",
]  # fmt: skip


def body_for(operation: Operation, world: World) -> dict[str, Any]:
    """What would do, as arguments of a request."""
    if "text/csv" in operation.media_types:
        return {"content": b"recipient_id,amount\n1,1.00\n"}
    return {} if operation.body is None else {"json": operation.example(world.known)}


def type_for(operation: Operation) -> dict[str, str]:
    return {"Content-Type": "text/csv"} if "text/csv" in operation.media_types else {}


@named(WITH_PATHS)
def test_paths(world: World, operation: Operation) -> None:
    before = world.rows(keys=False)
    for name in operation.parameters("path"):
        for value in PATH_VALUES:
            if name in {"key", "asset"} and value.isascii() and "%" not in value:
                continue  # Good keys and names of assets, nobody's though: the next test.
            path = operation.path.replace("{" + name + "}", value)
            url = replace(operation, path=path).url(world.known)
            headers = world.caller(operation) | type_for(operation)
            answer = world.send(operation, headers, url=url, **body_for(operation, world))
            assert answer.status_code in {404, 405, 422, 403}, (value, answer.text)
            if problem_of(answer) == "invalid-request":
                assert name in fields_at_fault(answer)
    assert world.rows(keys=False) == before


@named(WITH_PATHS)
def test_what_is_not_there_looks_like_what_is_somebody_elses(
    world: World, operation: Operation
) -> None:
    """Neither status nor words tell a stranger which ids exist."""
    stranger = world.house.account()
    before = world.rows(keys=False)
    seen = []
    for values in (world.known, UNKNOWN):
        headers = {**stranger.headers, KEY: secrets.token_hex(8), **type_for(operation)}
        url = operation.url({**world.known, **values})
        answer = world.send(operation, headers, url=url, **body_for(operation, world))
        assert answer.status_code >= 400, answer.text
        document = answer.json()
        words = document["detail"]
        for name in operation.parameters("path"):
            words = re.sub(rf"\b{re.escape(str(values[name]))}\b", name, words)
        seen.append((document["type"], words))
    assert seen[0] == seen[1]
    assert world.rows(keys=False) == before


@named([operation for operation in OPERATIONS if operation.parameters("query")])
def test_queries(world: World, operation: Operation) -> None:
    before = world.rows()
    bad = ["", "abc", "-1", "1.5", str(2**63), "9" * 400, MARKER, "\x00", "null", "1 OR 1=1"]
    for name, schema in operation.parameters("query").items():
        for value in bad:
            if schema.get("type") == "string" and operation.takes(schema, value):
                continue
            headers = world.caller(operation) | type_for(operation)
            request = body_for(operation, world)
            answer = world.send(operation, headers, params={name: value}, **request)
            assert (problem_of(answer), fields_at_fault(answer)) == ("invalid-request", [name])
    assert world.rows() == before


SECURED = [operation for operation in OPERATIONS if operation.secured]


@named(SECURED)
def test_nobody_in_particular(world: World, operation: Operation) -> None:
    """401 before anything else is looked at: body, key and path may be as wrong as they like."""
    before = world.rows()
    token = world.owner.headers["Authorization"].removeprefix("Bearer ")
    for sent in (
        None, "", "Bearer", "Bearer ", f"Bearer {MARKER}", f"Basic {token}", token,
        f"Bearer {token}x", f"Bearer {token[:-2]}", f"Bearer {token} {token}", b"Bearer \xff\xfe",
        "Bearer " + "x" * 50_000, f"Bearer {token.rpartition('.')[0]}.",
    ):  # fmt: skip
        headers = {} if sent is None else {"Authorization": sent}
        for request in (body_for(operation, world), {"content": b"{"}):
            answer = world.send(operation, headers | type_for(operation), **request)
            assert (answer.status_code, problem_of(answer)) == (401, "unauthenticated"), sent
            assert answer.headers["WWW-Authenticate"]
    assert world.rows() == before


@named([operation for operation in OPERATIONS if KEY in operation.parameters("header")])
def test_keys(world: World, operation: Operation) -> None:
    """400 before the body is read."""
    before = world.rows()
    headers = [(name, value) for name, value in world.caller(operation).items() if name != KEY]
    bad: list[Any] = ["", '""', "x" * 256, f"a {MARKER}", "a\x7f", "a\tb", b"\xe9", '"a"b"']
    for request in (body_for(operation, world), {"content": b"{"}):
        for key in bad:
            answer = world.send(operation, [*headers, (KEY, key)], **request)
            assert problem_of(answer) == "idempotency-key-malformed", key
        answer = world.send(operation, [*headers, (KEY, "a"), (KEY, "b")], **request)
        assert problem_of(answer) == "idempotency-key-malformed"
        if operation.path not in KEY_IS_OPTIONAL:
            assert (
                problem_of(world.send(operation, headers, **request)) == "idempotency-key-missing"
            )
    assert world.rows() == before


@named([operation for operation in OPERATIONS if PIN_HEADER in operation.parameters("header")])
def test_pins(world: World, operation: Operation) -> None:
    account = world.house.account(10_00)
    before = world.rows()
    body = body_for(operation, world)
    if "json" in body:
        body["json"] = {n: v for n, v in body["json"].items() if n not in {"current_pin", "pin"}}
        if operation.path.endswith("/pin"):
            body["json"]["pin"] = "1234"
    headers = {n: v for n, v in account.headers.items() if n != PIN_HEADER}
    wrong = ("0000", "0001", "0002", "1111", "4712")
    for pin in (None, "", "471", "47111", MARKER, "x" * 1000, b"\xff4711", *wrong, "4711"):
        sent = headers | {KEY: secrets.token_hex(8)} | ({} if pin is None else {PIN_HEADER: pin})
        answer = world.send(operation, sent, **body)
        assert answer.status_code in {403, 422, 423}, (pin, answer.text)
    assert problem_of(answer) == "pin-locked", "the right one, after so many wrong ones"
    assert world.rows() == before


@pytest.mark.parametrize("path", PATHS)
def test_methods(world: World, path: str) -> None:
    any_of_path = next(operation for operation in OPERATIONS if operation.path == path)
    url = any_of_path.url(world.known)
    served = {operation.method for operation in OPERATIONS if operation.could_be(url)}
    before = world.rows()
    for method in {*map(str.upper, METHODS), "OPTIONS", "TRACE", "PROPFIND", MARKER} - served:
        wrong = replace(any_of_path, method=method)
        answer = world.send(wrong, world.owner.headers, url=url)
        assert problem_of(answer) == "method-not-allowed"
        assert set(answer.headers["Allow"].split(", ")) == served
    assert world.rows() == before


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUE = st.recursive(
    LEAVES | st.sampled_from([0, 1, 2**53, 2**63, "USD"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["amount", "asset", "type", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@named(TAKING_JSON)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_fields_at_all(world: World, operation: Operation, data: st.DataObject) -> None:
    """What is not as described is refused; what is may do whatever it does, but never fail."""
    names = st.sampled_from([*operation.fields(), "extra"])
    body = data.draw(st.dictionaries(names, VALUE, max_size=4) | VALUE)
    answer = world.send(
        operation, world.caller(operation) | JSON, content=json.dumps(body).encode()
    )
    assert answer.status_code >= 400 or operation.takes(operation.body, looked_at(body))


def looked_at(value: Any) -> Any:
    """Without the fields that no operation has: what they hold, be it Infinity, is nobody's."""
    if isinstance(value, list):
        return [looked_at(inner) for inner in value]
    if isinstance(value, dict):
        return {name: looked_at(v) for name, v in value.items() if name not in {"extra", "x"}}
    return value


def test_the_world_was_right_but_for_the_faults(world: World) -> None:
    """At the end: without its fault what the tests sent was as described."""
    paid = executed(world.house, world.owner, world.known["batch_id"])
    assert (paid.status_code, paid.json()["status"]) == (200, "COMPLETED")
    for operation in TAKING_JSON:
        assert operation.takes(operation.body, operation.example(world.known)), str(operation)
