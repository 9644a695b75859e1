"""`hardened-fast` beside `hardened`: the same requests, the same answers, the same books."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.money import LARGEST_AMOUNT
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import PIN, Account, House, house_of

pytestmark = pytest.mark.slow

BUILDS = ("hardened", "hardened-fast")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00")
BALANCES = "SELECT * FROM wallets ORDER BY id"
PINS = "SELECT id, pin_failures, pin_locked_until IS NULL FROM users ORDER BY id"
BOOKS = """
SELECT t.type, t.from_wallet_id, t.to_wallet_id, t.amount, t.status, t.idempotency_key, e.wallet_id,
    e.entry_type, e.amount, e.balance_after, e.wallet_version
FROM transactions t JOIN ledger_entries e ON e.transaction_id = t.id
WHERE position(%s IN t.idempotency_key) > 0 ORDER BY e.id
"""
KEPT = """
SELECT scope, key, fingerprint, response_status, response_body::text FROM idempotency_keys
WHERE position(%s IN key) > 0 ORDER BY created_at
"""
ISOLATED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One request, told by what it is about and not by ids."""

    kind: str
    payer: str
    payee: str
    amount: Any
    asset: str
    key: str
    pin: str | None


NAMES = ("ann", "bob", "rich", "poor")
ODD = ("gold", "nobody", "treasury")
STEPS = st.builds(
    Step,
    kind=st.sampled_from(
        ["transfer"] * 12
        + ["deposit", "withdrawal", "freeze", "close", "thaw", "cap", "owe", "out"]
    ),
    payer=st.sampled_from(NAMES * 3 + ODD),
    payee=st.sampled_from(NAMES * 3 + ODD),
    amount=st.sampled_from(
        [1, 1, 3_00, 3_00, 9_99, 10_00, 10_01, LARGEST_AMOUNT, LARGEST_AMOUNT + 1, 0, -1, True]
    ),
    asset=st.sampled_from(["USD"] * 8 + ["GOLD", "NONE", ""]),
    key=st.sampled_from(["a", "b", "c", "d", "e", "f", "g", ""]),
    pin=st.sampled_from([PIN] * 8 + ["0815", "0815", "12", None]),
)


@dataclass(kw_only=True)
class World:
    """One house with the same people as the other one."""

    house: House
    people: dict[str, Account]
    requests: int = 0

    def settle_in(self) -> None:
        house = self.house
        self.people = {
            name: house.account(amount)
            for name, amount in zip(NAMES, (10_00, 20_00, 0, 0), strict=True)
        }
        # Past the treasury, which would soon owe too much.
        rich = self.people["rich"].wallet_id
        house.rows("UPDATE wallets SET balance = %s WHERE id = %s", LARGEST_AMOUNT - 5_00, rich)
        ann = self.people["ann"]
        gold = house.wallet_for(ann.user_id, "GOLD")
        house.deposit(gold, 10_00, "GOLD")
        ((treasury,),) = house.rows("SELECT min(id) FROM wallets WHERE allow_negative")
        self.people["gold"] = replace(ann, wallet_id=gold)
        self.people["nobody"] = replace(ann, wallet_id=10**6)
        self.people["treasury"] = replace(ann, wallet_id=treasury)

    def take(self, step: Step, suffix: str) -> httpx.Response:
        self.requests += 1
        payer, payee = self.people[step.payer], self.people[step.payee]
        headers = {n: v for n, v in payer.headers.items() if n != "X-Pin"}
        headers["X-Request-Id"] = f"{suffix}.{self.requests}"
        if step.key:
            headers["Idempotency-Key"] = f"{step.key}{suffix}"
        if step.pin is not None:
            headers["X-Pin"] = step.pin
        money = {"amount": step.amount, "asset": step.asset}
        wallet = f"/wallets/{payer.wallet_id}"
        method, path, body, operated = {
            "transfer": ("POST", "/transfers", {
                "from_wallet_id": payer.wallet_id, "to_wallet_id": payee.wallet_id, "amount": money,
            }, False),
            "deposit": ("POST", f"{wallet}/deposits", {"amount": money}, True),
            "withdrawal": ("POST", f"{wallet}/withdrawals", {"amount": money}, False),
            "freeze": ("PATCH", wallet, {"status": "frozen"}, True),
            "close": ("PATCH", wallet, {"status": "closed"}, True),
            "thaw": ("PATCH", wallet, {"status": "active"}, True),
            "cap": ("PUT", f"/users/{payer.user_id}/limits/USD", {"daily_cap": money}, True),
            "owe": ("PUT", f"/users/{payer.user_id}/limits/USD", {"overdraft": money}, True),
            "out": ("POST", "/auth/logout", None, False),
        }[step.kind]  # fmt: skip
        if operated:
            headers |= self.house.operator
        answer: httpx.Response = self.house.http.request(
            method, f"/v1{path}", json=body, headers=headers
        )
        return answer


@pytest.fixture(scope="module")
def worlds(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[tuple[World, ...]]:
    with ExitStack() as stack:
        houses = [
            stack.enter_context(house_of(build, databases, postgres, redis_server.url))
            for build in BUILDS
        ]
        yield tuple(World(house=house, people={}) for house in houses)


def told(answer: httpx.Response) -> tuple[int, str, Mapping[str, str]]:
    """All of it, but for what no two answers share."""
    text = MOMENT.sub("<moment>", UUID.sub("<id>", answer.text))
    return answer.status_code, text, dict(answer.headers)


def same_books(worlds: tuple[World, ...], suffix: str) -> None:
    slow, fast = (world.house for world in worlds)
    for sql in (BALANCES, PINS):
        assert slow.rows(sql) == fast.rows(sql), sql
    for sql in (BOOKS, KEPT):
        assert kept(slow, sql, suffix) == kept(fast, sql, suffix), sql


def kept(house: House, sql: str, suffix: str) -> list[tuple[Any, ...]]:
    return [
        tuple(MOMENT.sub("<moment>", UUID.sub("<id>", v)) if isinstance(v, str) else v for v in row)
        for row in house.rows(sql, suffix)
    ]


@settings(max_examples=40, suppress_health_check=ISOLATED)
@given(steps=st.lists(STEPS, min_size=6, max_size=30))
def test_any_requests_get_the_same_answers_and_leave_the_same_books(
    worlds: tuple[World, ...], steps: list[Step]
) -> None:
    for world in worlds:
        world.settle_in()
    slow, fast = worlds
    suffix = secrets.token_hex(4)
    for step in steps:
        assert told(slow.take(step, suffix)) == told(fast.take(step, suffix)), step
    same_books(worlds, suffix)
    for account in (slow.people[name] for name in NAMES):
        # What is cached is what is there.
        assert slow.house.balance(_operated(slow, account)) == fast.house.balance(
            _operated(fast, account)
        )


def _operated(world: World, account: Account) -> Account:
    return replace(account, headers=world.house.operator)


def test_the_requests_of_that_test_get_every_kind_of_answer(worlds: tuple[World, ...]) -> None:
    """By hand, each at least once: that the random ones come across all of them is luck."""
    plain = Step(kind="transfer", payer="ann", payee="bob", amount=1, asset="USD", key="a", pin=PIN)
    cap = replace(plain, kind="cap", payer="rich", amount=3_00)
    owe = replace(plain, kind="owe", payer="poor", amount=3_00)
    large = LARGEST_AMOUNT - 5_00
    steps = [
        (plain, "201"), (plain, "201"),
        (replace(plain, amount=2), "idempotency-key-reused"),
        (replace(plain, payer="bob", payee="ann"), "201"),
        (replace(plain, key="b", payee="treasury"), "forbidden"),
        (replace(plain, key="c", payer="treasury"), "forbidden"),
        (replace(plain, key="d", payer="nobody"), "forbidden"),
        (replace(plain, key="e", payee="nobody"), "not-found"),
        (replace(plain, key="e", payee="nobody"), "not-found"),
        (replace(plain, key="f", payee="gold"), "asset-mismatch"),
        (replace(plain, key="g", payer="gold", asset="GOLD"), "asset-mismatch"),
        (replace(plain, key="h", asset="NONE"), "asset-mismatch"),
        (replace(plain, key="i", amount=10_01), "insufficient-funds"),
        (replace(plain, key="j", payer="rich", payee="bob", amount=large), "balance-limit"),
        (cap, "200"), (replace(plain, key="k", payer="rich", amount=2_00), "201"),
        (replace(plain, key="l", payer="rich", amount=1_01), "daily-limit"),
        (replace(plain, key="m", payer="rich", amount=1_00), "201"),
        (owe, "200"), (replace(plain, key="n", payer="poor", amount=3_01), "overdraft-limit"),
        (replace(plain, key="o", payer="poor", amount=3_00), "201"),
        (replace(plain, key="p", pin=None), "pin-required"),
        (replace(plain, key="p", pin="12"), "pin-malformed"),
        (replace(plain, key="", pin=PIN), "idempotency-key-missing"),
        (replace(plain, key="p", amount=-1), "invalid-request"),
        (replace(plain, key="p", payee="ann"), "self-transfer"),
        (replace(plain, kind="freeze", payer="bob"), "200"),
        (replace(plain, key="q"), "wallet-inactive"),
        (replace(plain, key="q", payer="bob", payee="ann"), "wallet-inactive"),
        (replace(plain, kind="close", payer="poor"), "wallet-not-empty"),
        *[(replace(plain, key="r", pin="0815"), "pin-wrong")] * 4, (plain, "201"),
        *[(replace(plain, key="r", pin="0815"), "pin-wrong")] * 5,
        (replace(plain, key="r"), "pin-locked"), (plain, "pin-locked"),
        (replace(plain, kind="out"), "204"), (plain, "unauthenticated"),
        (replace(plain, key=""), "unauthenticated"), (replace(plain, pin=None), "unauthenticated"),
        (replace(plain, amount=True), "unauthenticated"),
        (replace(plain, payee="ann"), "unauthenticated"),
    ]  # fmt: skip
    for world in worlds:
        world.settle_in()
    suffix = secrets.token_hex(4)
    for step, expected in steps:
        slow, fast = (world.take(step, suffix) for world in worlds)
        assert told(slow) == told(fast), step
        name = json.loads(slow.text)["type"].rpartition(":")[2] if slow.is_error else ""
        assert (name or str(slow.status_code)) == expected, (step, slow.text)
    same_books(worlds, suffix)
