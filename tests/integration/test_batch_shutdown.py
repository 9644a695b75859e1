"""Batches when the engine is told to end, and when one of its workers is killed: rows are whole,
exactly one works at it, the next goes on, nothing is paid twice, and all of it is counted."""

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import psutil
import psycopg2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.ownership import Workspace, poll
from engine.process import EngineConfig, EngineProcess, launched_in, start_engine
from tests.integration.test_engine_shutdown import Payer, payer_at, refuses_connections

pytestmark = pytest.mark.slow

SOON_S = 60.0
ROWS = 600
"""More than are paid while the client waits, and than an engine pays while it ends."""
STOP_AT = 60
CALLS = 8
Connection = psycopg2.extensions.connection


@pytest.fixture
def side(config: EngineConfig) -> Iterator[Connection]:
    """Holds the row at which the batch is to stand still."""
    with closing(psycopg2.connect(config.database_url)) as connection:
        yield connection


def batch_at(engine: EngineProcess, payer: Payer) -> int:
    rows = "".join(f"{payer.payee},0.0{n % 9 + 1}\n" for n in range(ROWS))
    with httpx.Client(base_url=engine.base_url, headers=payer.headers, timeout=SOON_S) as http:
        body = {"source_wallet_id": payer.wallet}
        batch = http.post("/v1/batches", json=body).raise_for_status().json()["id"]
        http.put(
            f"/v1/batches/{batch}/rows",
            content=f"recipient_id,amount\n{rows}",
            headers={"Content-Type": "text/csv"},
            params={"confirm_duplicates": "true"},
        ).raise_for_status()
    return int(batch)


def execute(engine: EngineProcess, payer: Payer, batch: int) -> int:
    """The status; a connection of its own, for whichever worker takes it."""
    url = f"{engine.base_url}/v1/batches/{batch}/executions"
    return httpx.post(url, headers=payer.headers, timeout=SOON_S).status_code


def seen(config: EngineConfig, sql: str, *values: Any) -> Any:
    with closing(psycopg2.connect(config.database_url)) as reader, reader.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()


def last_row(config: EngineConfig, batch: int) -> tuple[str, int]:
    found = seen(config, "SELECT status, last_processed_row FROM batches WHERE id = %s", batch)
    return str(found[0]), int(found[1])


def stand_still_at(side: Connection, batch: int) -> None:
    """Nobody may mark that row until the side session lets go."""
    with side.cursor() as cursor:
        cursor.execute(
            "SELECT FROM batch_rows WHERE batch_id = %s AND row_index = %s FOR UPDATE",
            (batch, STOP_AT),
        )


def waits(config: EngineConfig) -> bool:
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    return bool(seen(config, sql)[0] == 1)


def must_be_paid_once(config: EngineConfig, payer: Payer, batch: int) -> None:
    assert poll(lambda: last_row(config, batch) == ("COMPLETED", ROWS), SOON_S), last_row(
        config, batch
    )
    sql = "SELECT count(*), count(DISTINCT transaction_id) FROM batch_rows WHERE batch_id = %s"
    assert seen(config, sql, batch) == (ROWS, ROWS)
    sql = (
        "SELECT count(*), sum(amount) = (SELECT balance FROM wallets WHERE id = %s) "
        "FROM transactions WHERE to_wallet_id = %s"
    )
    assert seen(config, sql, payer.payee, payer.payee) == (ROWS, True)


def counted(engine: EngineProcess, name: str) -> dict[str, float]:
    text = httpx.get(f"{engine.base_url}/metrics").raise_for_status().text
    return {
        "/".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_a_batch_stops_between_two_rows_and_the_next_engine_goes_on(
    workspace: Workspace, config: EngineConfig, side: Connection
) -> None:
    engine = start_engine(launched_in(workspace), config)
    payer = payer_at(engine, side)
    batch = batch_at(engine, payer)
    stand_still_at(side, batch)
    assert execute(engine, payer, batch) == 202
    assert poll(lambda: waits(config), SOON_S)
    os.kill(engine.pid, signal.SIGTERM)
    assert poll(lambda: refuses_connections(engine), SOON_S)
    assert engine.alive, "the row under way is finished first"
    side.rollback()
    assert engine.exit_code(SOON_S) == 0
    # The row that was under way is paid and marked: what is paid is what is marked, no row is half.
    status, stopped_at = last_row(config, batch)
    assert status == "PROCESSING"
    assert STOP_AT <= stopped_at < ROWS
    sql = "SELECT count(*) FROM transactions WHERE to_wallet_id = %s"
    assert seen(config, sql, payer.payee) == (stopped_at,)
    sql = "SELECT lease_token FROM batches WHERE id = %s"
    assert seen(config, sql, batch) == (None,), "nobody holds it any more"
    engine.stop()
    after = start_engine(launched_in(workspace), config)
    must_be_paid_once(config, payer, batch)
    assert poll(lambda: counted(after, "assay_batch_executions_total").get("ended") == 1, SOON_S)
    assert counted(after, "assay_batch_executions_total") == {"begun": 1, "ended": 1}
    after.stop()


def at_work(config: EngineConfig, engine: EngineProcess) -> psutil.Process:
    """The worker whose session waits for the row."""
    sql = (
        "SELECT client_port FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    (port,) = seen(config, sql)
    workers = psutil.Process(engine.pid).children()
    return next(one for one in workers if port in {c.laddr.port for c in connections(one)})


def connections(worker: psutil.Process) -> list[Any]:
    return list(worker.net_connections("tcp"))


def all_at_once(call: Callable[[], int], times: int) -> list[int]:
    with ThreadPoolExecutor(times) as clients:
        return [sent.result() for sent in [clients.submit(call) for _ in range(times)]]


def test_one_of_several_workers_pays_a_batch_and_another_goes_on_when_it_is_killed(
    workspace: Workspace, config: EngineConfig, side: Connection
) -> None:
    engine = start_engine(launched_in(workspace), dataclasses.replace(config, workers=2))
    payer = payer_at(engine, side)
    batch = batch_at(engine, payer)
    stand_still_at(side, batch)
    answers = all_at_once(lambda: execute(engine, payer, batch), CALLS)
    assert sorted(answers) == [202] + [409] * (CALLS - 1)
    assert poll(lambda: waits(config), SOON_S)
    holder = seen(config, "SELECT lease_holder FROM batches WHERE id = %s", batch)
    victim = at_work(config, engine)
    victim.kill()
    # Dead or not, whoever waits for the row is let go; what it has not committed is undone.
    side.rollback()
    must_be_paid_once(config, payer, batch)
    assert last_row(config, batch)[0] == "COMPLETED"
    assert holder != (None,)
    assert psutil.Process(engine.pid).is_running()
    events = counted(engine, "assay_batch_executions_total")
    # Who was killed, who paid it out, and whoever had waited too long for the row.
    assert events["begun"] == 1 + events["ended"] + events.get("broken_off", 0), events
    assert events["ended"] == 1, events
    engine.stop()


def test_what_is_tried_again_is_counted(
    workspace: Workspace, config: EngineConfig, side: Connection
) -> None:
    engine = start_engine(launched_in(workspace), config)
    payer = payer_at(engine, side)
    with side, side.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE tried")
        cursor.execute(
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval('tried') <= 2 THEN RAISE EXCEPTION 'lost' USING ERRCODE = '40P01'; END IF; "
            "RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER lose BEFORE INSERT ON transactions FOR EACH ROW EXECUTE FUNCTION lose()"
        )
    body = {
        "from_wallet_id": payer.wallet,
        "to_wallet_id": payer.payee,
        "amount": {"amount": 1_00, "asset": "USD"},
    }
    headers = {**payer.headers, "Idempotency-Key": "tried"}
    before = sum(counted(engine, "assay_retries_total").values())
    answer = httpx.post(
        f"{engine.base_url}/v1/transfers", json=body, headers=headers, timeout=SOON_S
    )
    assert answer.status_code == 201, answer.text
    assert sum(counted(engine, "assay_retries_total").values()) - before == 2
    engine.stop()
