"""Batch payouts over the API: files good and bad, rows paid once, resumed, taken back."""

from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.engine_client import Account, House, house_of


@pytest.fixture(scope="module")
def house(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[House]:
    with house_of("hardened", databases, postgres, redis_server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def fragile(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> Iterator[House]:
    with house_of("fragile", databases, postgres, redis_server.url) as opened:
        yield opened


def opened(house: House, payer: Account, key: str = "") -> int:
    keyed = {"Idempotency-Key": key} if key else {}
    body = {"source_wallet_id": payer.wallet_id}
    answer = house.http.post("/v1/batches", json=body, headers={**payer.headers, **keyed})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def uploaded(
    house: House, payer: Account, batch: int, content: str | bytes, **query: Any
) -> httpx.Response:
    headers = {**payer.headers, "Content-Type": "text/csv"}
    answer: httpx.Response = house.http.put(
        f"/v1/batches/{batch}/rows", content=content, headers=headers, params=query
    )
    return answer


def file_of(rows: Sequence[tuple[Account, str]]) -> str:
    lines = [f"{payee.wallet_id},{amount}" for payee, amount in rows]
    return "\n".join(["recipient_id,amount", *lines, ""])


def batch_of(house: House, payer: Account, *rows: tuple[Account, str]) -> int:
    batch = opened(house, payer)
    answer = uploaded(house, payer, batch, file_of(rows), confirm_duplicates=True)
    assert answer.status_code == 200, answer.text
    return batch


def executed(house: House, payer: Account, batch: int) -> httpx.Response:
    answer: httpx.Response = house.http.post(
        f"/v1/batches/{batch}/executions", headers=payer.headers
    )
    return answer


def rows_of(house: House, payer: Account, batch: int) -> list[Any]:
    answer = house.get(f"/batches/{batch}/rows", payer.headers)
    assert answer.status_code == 200
    return list(answer.json()["rows"])


def test_each_row_is_paid_and_told(house: House) -> None:
    payer, first, second = house.account(100_00), house.account(), house.account()
    batch = batch_of(house, payer, (first, "10.00"), (second, "20.5"), (first, "7"))
    state = house.get(f"/batches/{batch}", payer.headers).json()
    assert (state["status"], state["item_count"], state["total"]) == (
        "PENDING", 3, house.money(37_50),
    )  # fmt: skip
    answer = executed(house, payer, batch)
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert (done["status"], done["success_count"], done["last_processed_row"]) == (
        "COMPLETED", 3, 3,
    )  # fmt: skip
    assert [house.balance(a) for a in (payer, first, second)] == [62_50, 17_00, 20_50]
    rows = rows_of(house, payer, batch)
    assert [row["status"] for row in rows] == ["PAID"] * 3
    for row in rows:
        record = house.get(f"/transfers/{row['transaction_id']}", payer.headers).json()
        assert record["amount"] == row["amount"]
    assert executed(house, payer, batch).json() == done
    assert house.balance(payer) == 62_50


def test_a_refused_row_is_marked_and_the_next_runs(house: House) -> None:
    payer, first, second = house.account(50_00), house.account(), house.account()
    batch = batch_of(house, payer, (first, "40.00"), (second, "20.00"), (second, "10.00"))
    done = executed(house, payer, batch).json()
    assert (done["status"], done["success_count"], done["failure_count"]) == (
        "PARTIALLY_FAILED", 2, 1,
    )  # fmt: skip
    row = rows_of(house, payer, batch)[1]
    assert row["status"] == "REFUSED"
    assert row["error"].startswith("insufficient-funds: ")
    assert [house.balance(a) for a in (payer, first, second)] == [0, 40_00, 10_00]


def test_a_batch_of_which_nothing_could_be_paid_has_failed(house: House) -> None:
    payer, payee = house.account(1_00), house.account()
    batch = batch_of(house, payer, (payee, "2.00"), (payee, "3.00"))
    assert executed(house, payer, batch).json()["status"] == "FAILED"
