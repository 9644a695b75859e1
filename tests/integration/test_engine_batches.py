"""Batch payouts over the API: rows paid once, resumed, taken back."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
import sqlalchemy as sa

from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.batch_client import (
    batch_of,
    executed,
    file_of,
    opened,
    rows_of,
    uploaded,
)
from tests.integration.engine_client import Account, House, house_in, house_of, problem_of


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


def test_a_key_names_one_batch_of_its_user(house: House) -> None:
    payer, other = house.account(), house.account()
    key = "payroll of May"
    assert house.http.post(
        "/v1/batches",
        json={"source_wallet_id": payer.wallet_id},
        headers={**payer.headers, "Idempotency-Key": key},
    ).status_code == 400  # fmt: skip
    first = opened(house, payer, key="payroll-may")
    assert opened(house, payer, key="payroll-may") == first
    assert opened(house, payer) != opened(house, payer)
    assert opened(house, other, key="payroll-may") != first
    gold = house.wallet_for(payer.user_id, "GOLD")
    headers = {**payer.headers, "Idempotency-Key": "payroll-may"}
    answer = house.http.post("/v1/batches", json={"source_wallet_id": gold}, headers=headers)
    assert (answer.status_code, problem_of(answer)) == (422, "idempotency-key-reused")


def test_a_batch_is_its_owners(house: House) -> None:
    payer, stranger = house.account(10_00), house.account()
    batch = batch_of(house, payer, (stranger, "1.00"))
    content = file_of([(stranger, "5.00")])
    for number in (batch, 10**9):
        refused = [
            uploaded(house, stranger, number, content),
            executed(house, stranger, number),
            house.get(f"/batches/{number}", stranger.headers),
            house.get(f"/batches/{number}/rows", stranger.headers),
            house.post(f"/batches/{number}/compensations", {"rows": [1]}, stranger.headers),
        ]
        assert [(a.status_code, problem_of(a)) for a in refused] == [(403, "forbidden")] * 5
    theirs = {"source_wallet_id": payer.wallet_id}
    assert house.post("/batches", theirs, stranger.headers).status_code == 403
    assert house.get("/batches", stranger.headers).json() == {"batches": []}
    assert house.get(f"/batches/{batch}", house.operator).status_code == 200
    assert executed(house, Account(user_id=0, wallet_id=0, headers=house.operator), batch
                    ).status_code == 403  # fmt: skip
    assert house.post(f"/batches/{batch}/executions", None).status_code == 401
    assert house.balance(payer) == 10_00


def test_batches_and_rows_are_read_page_by_page(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batches = [opened(house, payer) for _ in range(3)]
    newest = house.get("/batches?limit=2", payer.headers).json()["batches"]
    assert [b["id"] for b in newest] == [batches[2], batches[1]]
    rest = house.get(f"/batches?limit=2&before={newest[-1]['id']}", payer.headers).json()
    assert [b["id"] for b in rest["batches"]] == [batches[0]]
    batch = batch_of(house, payer, *[(payee, f"0.{n:02}") for n in range(1, 6)])
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = house.get(f"/batches/{batch}/rows?limit=2&after={after}", payer.headers).json()
        seen += [row["row"] for row in page["rows"]]
        after = page["next_after"]
    assert seen == [1, 2, 3, 4, 5]


def pretend_died(house: House, batch: int, holder: str) -> None:
    """As if a process at that place had claimed the batch and was killed."""
    house.rows(
        "UPDATE batches SET status = 'PROCESSING', lease_token = gen_random_uuid(), "
        "lease_holder = %s, lease_until = now() + interval '1 hour' WHERE id = %s",
        holder,
        batch,
    )


def place_of(house: House) -> str:
    runs: Any = house.services.executions.runs
    return str(runs._leases.holder)


def test_a_lease_of_somebody_else_is_respected_until_it_ends(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"))
    pretend_died(house, batch, "elsewhere:1")
    running = executed(house, payer, batch)
    assert (running.status_code, problem_of(running)) == (409, "batch-running")
    assert running.headers["Retry-After"]
    assert house.balance(payee) == 0
    house.rows("UPDATE batches SET lease_until = now() WHERE id = %s", batch)
    assert executed(house, payer, batch).json()["status"] == "COMPLETED"
    assert house.balance(payee) == 1_00


def test_a_lease_of_a_process_that_died_here_is_taken_over(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"))
    pretend_died(house, batch, place_of(house))
    assert executed(house, payer, batch).json()["status"] == "COMPLETED"


def test_whoever_lost_the_lease_pays_no_further_row(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"), (payee, "2.00"))
    payments = house.services.executions._payments
    pay, paid = payments.execute, threading.Event()

    def robbed(open_session: Any, order: Any) -> Any:
        answer = pay(open_session, order)
        pretend_died(house, batch, "elsewhere:1")
        paid.set()
        return answer

    payments.execute = robbed  # type: ignore[method-assign]
    try:
        answer = executed(house, payer, batch)
    finally:
        payments.execute = pay  # type: ignore[method-assign]
    assert paid.is_set()
    assert (answer.status_code, problem_of(answer)) == (409, "batch-running")
    assert [row["status"] for row in rows_of(house, payer, batch)] == ["PAID", "PENDING"]
    assert house.balance(payee) == 1_00


def test_trouble_that_passes_leaves_the_row_to_the_next_execution(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"), (payee, "2.00"))
    house.rows(
        "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '57014'; END $$"
    )
    house.rows(
        "CREATE TRIGGER not_now BEFORE INSERT ON transactions FOR EACH ROW "
        "WHEN (NEW.amount = 200) EXECUTE FUNCTION not_now()"
    )
    try:
        assert executed(house, payer, batch).status_code == 503
    finally:
        house.rows("DROP FUNCTION not_now CASCADE")
    state = house.get(f"/batches/{batch}", payer.headers).json()
    assert (state["status"], state["last_processed_row"]) == ("PROCESSING", 1)
    assert executed(house, payer, batch).json()["status"] == "COMPLETED"
    assert house.balance(payee) == 3_00


def test_an_engine_that_starts_goes_on_with_what_was_left(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with house_of("hardened", databases, postgres, redis_server.url) as first:
        payer, payee = first.account(500_00), first.account()
        small = batch_of(first, payer, (payee, "1.00"), (payee, "2.00"))
        large = batch_of(first, payer, *[(payee, f"{n}.00") for n in range(1, 31)] * 5)
        for batch in (small, large):
            pretend_died(first, batch, place_of(first))
        # 465 of 2325 is there: the last rows of the large batch will be refused.
        with house_in(first.database_url, "hardened", redis_server.url) as second:
            assert second.get(f"/batches/{small}", payer.headers).json()["status"] == "COMPLETED"
            second.services.executions._background.shutdown()
            state = second.get(f"/batches/{large}", payer.headers).json()
            assert state["status"] == "PARTIALLY_FAILED"
            assert state["success_count"] + state["failure_count"] == 150
            assert second.balance(payer) + second.balance(payee) == 500_00


def test_a_large_batch_is_paid_in_the_background(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with house_of("hardened", databases, postgres, redis_server.url) as house:
        payer, payee = house.account(500_00), house.account()
        batch = batch_of(house, payer, *[(payee, "1.00")] * 600)
        answer = executed(house, payer, batch)
        assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/batches/{batch}")
        running = executed(house, payer, batch)
        assert running.status_code in {409, 200}
        house.services.executions._background.shutdown()
        state = house.get(f"/batches/{batch}", payer.headers).json()
        assert (state["status"], state["success_count"], state["last_processed_row"]) == (
            "PARTIALLY_FAILED", 500, 600,
        )  # fmt: skip
        assert house.balance(payee) == 500_00


def test_an_engine_that_stops_leaves_the_rest_to_the_next(
    databases: Databases, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    with house_of("hardened", databases, postgres, redis_server.url) as house:
        payer, payee = house.account(10_00), house.account()
        batch = batch_of(house, payer, (payee, "1.00"))
        house.services.executions.stop()
        assert executed(house, payer, batch).status_code == 503
        with house_in(house.database_url, "hardened", redis_server.url) as second:
            assert second.get(f"/batches/{batch}", payer.headers).json()["status"] == "COMPLETED"


def take_back(house: House, batch: int, *rows: int) -> httpx.Response:
    return house.post(f"/batches/{batch}/compensations", {"rows": rows}, house.operator)


def test_rows_are_taken_back_once(house: House) -> None:
    payer, first, second = house.account(100_00), house.account(), house.account()
    batch = batch_of(house, payer, (first, "10.00"), (second, "20.00"), (first, "30.00"))
    executed(house, payer, batch)
    done = take_back(house, batch, 3, 1)
    assert done.status_code == 200, done.text
    assert [(row["row"], row["status"]) for row in done.json()["rows"]] == [
        (1, "COMPENSATED"), (3, "COMPENSATED"),
    ]  # fmt: skip
    assert take_back(house, batch, 1, 3).json() == done.json()
    assert [house.balance(a) for a in (payer, first, second)] == [80_00, 0, 20_00]
    state = house.get(f"/batches/{batch}", payer.headers).json()
    assert (state["compensated_count"], state["status"]) == (2, "COMPLETED")
    assert house.get("/ledger/reconciliation", house.operator).status_code == 200


def test_what_the_recipient_has_spent_is_said_and_the_next_row_runs(house: House) -> None:
    payer, first, second = house.account(50_00), house.account(), house.account()
    batch = batch_of(house, payer, (first, "10.00"), (second, "20.00"))
    executed(house, payer, batch)
    house.pay(first, second, 10_00)
    rows = take_back(house, batch, 1, 2).json()["rows"]
    assert [row["status"] for row in rows] == ["PAID", "COMPENSATED"]
    assert rows[0]["error"].startswith("insufficient-funds")


def test_what_was_never_paid_is_not_taken_back(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"), (payee, "20.00"))
    executed(house, payer, batch)
    answer = take_back(house, batch, 1, 2, 9)
    assert (answer.status_code, problem_of(answer)) == (422, "rows-not-paid")
    assert [e["message"] for e in answer.json()["errors"]] == [
        "row 2 was not paid", "row 9 was not paid",
    ]  # fmt: skip
    assert house.balance(payee) == 1_00
    for rows in ([], [0], [True], ["1"], None):
        answer = house.post(f"/batches/{batch}/compensations", {"rows": rows}, house.operator)
        assert answer.status_code == 422


def test_bare_numbers_work_too(fragile: House) -> None:
    payer, payee = fragile.account(10_00), fragile.account()
    batch = batch_of(fragile, payer, (payee, "1.25"), (payee, "0.10"))
    done = executed(fragile, payer, batch).json()
    assert (done["status"], done["total"]) == ("COMPLETED", 1.35)
    assert fragile.balance(payee) == 1_35
    assert take_back(fragile, batch, 1).json()["rows"][0]["status"] == "COMPENSATED"
    assert fragile.balance(payee) == 10


def test_answers_look_as_described(house: House) -> None:
    document = house.http.get("/openapi.json").json()
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"))
    path = "/batches/{batch_id}"
    answers = {
        ("post", "/batches"): house.post(
            "/batches", {"source_wallet_id": payer.wallet_id}, payer.headers
        ),
        ("get", "/batches"): house.get("/batches", payer.headers),
        ("post", f"{path}/executions"): executed(house, payer, batch),
        ("get", path): house.get(f"/batches/{batch}", payer.headers),
        ("get", f"{path}/rows"): house.get(f"/batches/{batch}/rows", payer.headers),
        ("post", f"{path}/compensations"): take_back(house, batch, 1),
    }
    for (method, route), answer in answers.items():
        described = document["paths"][f"/v1{route}"][method]["responses"][str(answer.status_code)]
        schema = described["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), schema | {"components": document["components"]})


def keyed(house: House, path: str, key: str, headers: Any, body: Any = None) -> httpx.Response:
    answer: httpx.Response = house.http.post(
        f"/v1{path}", json=body, headers={**headers, "Idempotency-Key": key}
    )
    return answer


def test_a_key_repeats_the_answer_of_an_execution(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"))
    path = f"/batches/{batch}/executions"
    first = keyed(house, path, "pay-out", payer.headers)
    assert (first.status_code, first.headers.get("Idempotent-Replayed")) == (200, None)
    take_back(house, batch, 1)
    again = keyed(house, path, "pay-out", payer.headers)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json() == first.json() != executed(house, payer, batch).json()
    fate = house.get(f"/idempotency/pay-out?route=POST /v1{path}", payer.headers)
    assert fate.json()["body"] == first.json()
    malformed = keyed(house, path, "two words", payer.headers)
    assert (malformed.status_code, problem_of(malformed)) == (400, "idempotency-key-malformed")
    assert house.balance(payee) == 0


def test_a_refused_execution_does_not_burn_its_key(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = opened(house, payer)
    path = f"/batches/{batch}/executions"
    assert problem_of(keyed(house, path, "early", payer.headers)) == "batch-empty"
    uploaded(house, payer, batch, file_of([(payee, "1.00")]))
    assert keyed(house, path, "early", payer.headers).json()["status"] == "COMPLETED"


def test_a_key_repeats_the_answer_of_a_compensation(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"), (payee, "2.00"))
    executed(house, payer, batch)
    path = f"/batches/{batch}/compensations"
    first = keyed(house, path, "back", house.operator, {"rows": [1]})
    assert (first.status_code, house.balance(payee)) == (200, 2_00)
    again = keyed(house, path, "back", house.operator, {"rows": [1, 1]})
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    other = keyed(house, path, "back", house.operator, {"rows": [2]})
    assert (other.status_code, problem_of(other)) == (422, "idempotency-key-reused")
    assert house.balance(payee) == 2_00


def test_what_was_compensated_is_not_reversed_and_the_other_way_round(house: House) -> None:
    payer, payee = house.account(10_00), house.account(10_00)
    batch = batch_of(house, payer, (payee, "1.00"), (payee, "2.00"))
    executed(house, payer, batch)
    first, second = (row["transaction_id"] for row in rows_of(house, payer, batch))
    back = take_back(house, batch, 1).json()["rows"][0]["compensation_id"]
    record = house.get(f"/transfers/{back}", payer.headers).json()
    assert (record["type"], record["amount"]) == ("REVERSAL", house.money(1_00))
    assert house.rows(
        "SELECT reverses_transaction_id::text FROM transactions WHERE id = %s", back
    ) == [(first,)]
    refused = house.post(f"/transfers/{first}/reversals", None, payee.headers)
    assert (refused.status_code, problem_of(refused)) == (409, "already-reversed")
    assert house.post(f"/transfers/{second}/reversals", None, payee.headers).status_code == 201
    (row,) = take_back(house, batch, 2).json()["rows"]
    assert (row["status"], row["error"].partition(":")[0]) == ("PAID", "already-reversed")
    assert (house.balance(payer), house.balance(payee)) == (10_00, 10_00)


def test_a_row_takes_two_statements(house: House) -> None:
    """What a batch costs: the wallets are read and locked, then all is written at once."""
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, *[(payee, f"0.{n:02}") for n in range(1, 4)])
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(" ".join(statement.split()[:2]))

    sa.event.listen(house.services.database, "before_cursor_execute", note)
    assert executed(house, payer, batch).json()["status"] == "COMPLETED"
    sa.event.remove(house.services.database, "before_cursor_execute", note)
    row = ["SELECT wallets.id,", "WITH mine"]
    first = sent.index(row[0])
    assert sent[first : first + 6] == row * 3
    assert not [words for words in sent[first + 6 :] if words in row]
