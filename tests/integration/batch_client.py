"""Words for batch payouts, for tests that speak to the engine over its API."""

from collections.abc import Sequence
from typing import Any

import httpx

from tests.integration.engine_client import Account, House


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


def stored_rows(house: House, batch: int) -> int:
    ((count,),) = house.rows("SELECT count(*) FROM batch_rows WHERE batch_id = %s", batch)
    return int(count)
