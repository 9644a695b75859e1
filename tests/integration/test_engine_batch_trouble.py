"""Batches when the database or the engine fails them: what is told, kept, waited out and logged."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engine.batches import execution
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from tests.integration.batch_client import batch_of, executed, file_of, opened, rows_of, uploaded
from tests.integration.engine_client import Account, House, house_in, house_of, problem_of

LOCK_TIMEOUT, BROKEN = "55P03", "XX000"
SECRET_PART = "Guess-what-was-sent"


@pytest.fixture
def house(
    databases: Databases,
    postgres: PostgresServer,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[House]:
    monkeypatch.setattr(execution, "PAUSES_S", (0.0,) * 3)
    with house_of("hardened", databases, postgres, redis_server.url) as opened:
        yield opened


@contextmanager
def refusing(house: House, amount: int, *, state: str, times: int = 10**6) -> Iterator[None]:
    """Payments of this amount fail so often, however they end: a sequence is never rolled back."""
    house.rows("CREATE SEQUENCE refused")
    house.rows(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF nextval('refused') <= {times} THEN "
        f"RAISE EXCEPTION '{SECRET_PART}' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$"
    )
    house.rows(
        "CREATE TRIGGER refuse BEFORE INSERT ON transactions FOR EACH ROW "
        f"WHEN (NEW.amount = {amount}) EXECUTE FUNCTION refuse()"
    )
    try:
        yield
    finally:
        house.rows("DROP FUNCTION refuse CASCADE")
        house.rows("DROP SEQUENCE refused")


@contextmanager
def no_connection_after(house: House, words: str) -> Iterator[list[str]]:
    """Once a statement with these words is committed the pool gives no connection any more."""
    seen: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if words in statement:
            seen.append("sent")

    def committed(_: object) -> None:
        if "sent" in seen:
            seen.append("committed")

    def checkout(*_: object) -> None:
        if "committed" in seen:
            raise PoolTimeout

    database = house.services.database
    hooks = (
        (database, "before_cursor_execute", note),
        (database, "commit", committed),
        (database, "checkout", checkout),
    )
    for hook in hooks:
        sa.event.listen(*hook)
    try:
        yield seen
    finally:
        for hook in hooks:
            sa.event.remove(*hook)


def keyed(house: House, path: str, headers: Any, body: Any = None) -> Any:
    return house.post(path, body, headers, key="one-key")


def batch_state(house: House, payer: Account, batch: int) -> Any:
    return house.get(f"/batches/{batch}", payer.headers).json()


def many(house: House, payer: Account, payee: Account) -> int:
    """150 rows, the 75th of 0.75."""
    return batch_of(house, payer, *[(payee, f"{n / 100:.2f}") for n in range(1, 151)])


def test_an_interrupted_execution_is_told_as_such(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"), (payee, "2.00"))
    path = f"/batches/{batch}/executions"
    with refusing(house, 2_00, state=LOCK_TIMEOUT, times=1):
        answer = keyed(house, path, payer.headers)
        assert (answer.status_code, problem_of(answer)) == (503, "batch-interrupted")
        document = answer.json()
        assert (document["retriable"], document["retry_with_same_key"]) == (True, True)
        assert "nothing" not in document["title"] + document["detail"]
        assert "state" in document["detail"]
        assert answer.headers["Retry-After"]
        state = batch_state(house, payer, batch)
        assert (state["status"], state["running"], state["last_processed_row"]) == (
            "PROCESSING", False, 1,
        )  # fmt: skip
        assert keyed(house, path, payer.headers).json()["status"] == "COMPLETED"
    assert house.balance(payee) == 3_00


def test_an_interrupted_compensation_is_told_as_such(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"), (payee, "2.00"))
    executed(house, payer, batch)
    path = f"/batches/{batch}/compensations"
    with refusing(house, 2_00, state=LOCK_TIMEOUT, times=1):
        answer = keyed(house, path, house.operator, {"rows": [1, 2]})
        assert (answer.status_code, problem_of(answer)) == (503, "batch-interrupted")
        assert house.balance(payee) == 2_00
        again = keyed(house, path, house.operator, {"rows": [1, 2]})
    assert [row["status"] for row in again.json()["rows"]] == ["COMPENSATED"] * 2
    assert house.balance(payee) == 0


def test_a_background_batch_waits_passing_trouble_out(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    payer, payee = house.account(200_00), house.account()
    batch = many(house, payer, payee)
    with refusing(house, 75, state=LOCK_TIMEOUT, times=3):
        answer = executed(house, payer, batch)
        assert (answer.status_code, answer.json()["status"], answer.json()["running"]) == (
            202, "PROCESSING", True,
        )  # fmt: skip
        house.services.executions._background.shutdown()
    state = batch_state(house, payer, batch)
    assert (state["status"], state["running"], state["success_count"]) == ("COMPLETED", False, 150)
    assert house.balance(payee) == sum(range(1, 151))
    assert len([r for r in caplog.records if "goes on after OperationalError" in r.message]) == 3


@pytest.mark.parametrize("state", [LOCK_TIMEOUT, BROKEN])
def test_a_background_batch_gives_up_in_the_open_and_quotes_nothing(
    house: House, caplog: pytest.LogCaptureFixture, state: str
) -> None:
    payer, payee = house.account(200_00), house.account()
    batch = many(house, payer, payee)
    with caplog.at_level(logging.DEBUG), refusing(house, 75, state=state):
        assert executed(house, payer, batch).status_code == 202
        house.services.executions._background.shutdown()
    seen = batch_state(house, payer, batch)
    assert (seen["status"], seen["running"], seen["last_processed_row"]) == (
        "PROCESSING", False, 74,
    )  # fmt: skip
    assert [r.levelname for r in caplog.records if "broke off" in r.message] == ["ERROR"]
    assert state in caplog.text
    for told in (SECRET_PART, "[SQL:", "[parameters:", "INSERT INTO", "WITH mine"):
        assert told not in caplog.text


def test_what_a_start_cannot_resume_at_once_goes_on_in_the_background(
    house: House, redis_server: RedisServer
) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"), (payee, "2.00"))
    with refusing(house, 2_00, state=LOCK_TIMEOUT, times=2):
        assert executed(house, payer, batch).status_code == 503
        with house_in(house.database_url, "hardened", redis_server.url) as second:
            second.services.executions._background.shutdown()
            assert batch_state(second, payer, batch)["status"] == "COMPLETED"
            assert second.balance(payee) == 3_00


def test_an_engine_that_stops_says_nothing_of_its_batches(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    payer, payee = house.account(200_00), house.account()
    batch = many(house, payer, payee)
    executions = house.services.executions
    pay, count = executions._payments.execute, iter(range(1, 151))

    def last_one(open_session: Any, order: Any) -> Any:
        answer = pay(open_session, order)
        if next(count) == 3:
            executions._stopping.set()
        return answer

    executions._payments.execute = last_one  # type: ignore[method-assign]
    with caplog.at_level(logging.DEBUG, logger="engine"):
        assert executed(house, payer, batch).status_code == 202
        executions._background.shutdown()
    assert [r for r in caplog.records if r.name == "engine"] == []
    state = batch_state(house, payer, batch)
    assert (state["status"], state["running"], state["last_processed_row"]) == (
        "PROCESSING", False, 3,
    )  # fmt: skip


def test_a_pause_ends_with_the_engine(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "PAUSES_S", (3600.0,))
    payer, payee = house.account(200_00), house.account()
    batch = many(house, payer, payee)
    with refusing(house, 75, state=LOCK_TIMEOUT):
        assert executed(house, payer, batch).status_code == 202
        house.services.executions.stop()  # It would be an hour.
    assert batch_state(house, payer, batch)["running"] is False


def test_success_needs_no_connection_once_it_is_committed(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    assets = house.services.assets

    def told(words: str, method: str, path: str, **request: Any) -> Any:
        assets._by_id.clear()
        assets._by_code.clear()
        with no_connection_after(house, words) as seen:
            answer = house.http.request(method, f"/v1{path}", **request)
        assert "committed" in seen
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    of_payer = {"headers": dict(payer.headers)}
    body = {"source_wallet_id": payer.wallet_id}
    batch = told("INSERT INTO batches", "POST", "/batches", json=body, **of_payer)["id"]
    headers = {**payer.headers, "Content-Type": "text/csv"}
    content = file_of([(payee, "1.00")])
    path = f"/batches/{batch}/rows"
    stored = told("SET file_sha256", "PUT", path, content=content, headers=headers)
    assert (stored["item_count"], stored["total"]) == (1, house.money(1_00))
    keyed = {"headers": {**payer.headers, "Idempotency-Key": "full-pool"}}
    done = told("lease_until = NULL", "POST", f"/batches/{batch}/executions", **keyed)
    assert done == batch_state(house, payer, batch)
    assert done["status"] == "COMPLETED"
    wallet = told(
        "UPDATE wallets", "PATCH", f"/wallets/{payee.wallet_id}",
        json={"status": "frozen"}, headers=dict(house.operator),
    )  # fmt: skip
    assert (wallet["status"], wallet["asset"]) == ("frozen", "USD")


def test_the_pin_may_be_in_the_body(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    batch = batch_of(house, payer, (payee, "1.00"))
    ways: tuple[tuple[str, Any, dict[str, Any]], ...] = (
        (f"/batches/{batch}/executions", payer.headers, {}),
        (f"/batches/{batch}/compensations", house.operator, {"rows": [1]}),
    )
    for path, with_pin, body in ways:
        headers = {k: v for k, v in with_pin.items() if k != "X-Pin"}
        assert problem_of(house.post(path, body, headers)) == "pin-required"
        assert problem_of(house.post(path, {**body, "pin": "0000"}, headers)) == "pin-wrong"
        answer = house.post(path, {**body, "pin": with_pin["X-Pin"]}, headers)
        assert answer.status_code == 200, answer.text
    assert [row["status"] for row in rows_of(house, payer, batch)] == ["COMPENSATED"]


def test_rows_that_add_up_to_more_than_the_column_holds_are_refused(house: House) -> None:
    payer, payee = house.account(), house.account()
    batch = opened(house, payer)
    content = file_of([(payee, "90071992547409.91")] * 1100)
    answer = uploaded(house, payer, batch, content, confirm_duplicates=True)
    assert (answer.status_code, problem_of(answer)) == (422, "rows-invalid")
    assert house.rows("SELECT count(*) FROM batch_rows") == [(0,)]


def test_one_key_at_two_spellings_of_a_path_is_one_key(house: House) -> None:
    payer, payee = house.account(10_00), house.account()
    paid = house.pay(payer, payee, 1_00).json()["id"]
    first = keyed(house, f"/transfers/{paid}/reversals", payee.headers)
    for spelling in (paid.upper(), paid.replace("-", "")):
        again = keyed(house, f"/transfers/{spelling}/reversals", payee.headers)
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["Idempotent-Replayed"] == "true"
        route = f"POST /v1/transfers/{spelling}/reversals"
        fate = house.get(f"/idempotency/one-key?route={route}", payee.headers)
        assert fate.json()["body"] == first.json()
    path, body = f"/wallets/{payer.wallet_id}/deposits", {"amount": house.money(1_00)}
    assert keyed(house, path, house.operator, body).status_code == 201
    again = keyed(house, path.replace("wallets/", "wallets/0"), house.operator, body)
    assert (again.status_code, problem_of(again)) == (422, "invalid-request")
    assert house.balance(payer) == 11_00
