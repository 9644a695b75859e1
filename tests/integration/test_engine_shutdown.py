"""Told to end, the engine finishes what it has begun: answered, in the books, nothing half done."""

import dataclasses
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import httpx
import psutil
import psycopg2
import pytest

from engine.ownership import Workspace, poll
from engine.process import EngineConfig, EngineProcess, launched_in, start_engine
from engine.stores.ports import LOOPBACK

SOON_S = 20.0
WAITS_S = 0.7
"""Of an engine that has nothing to wait for any more, this would be the end."""
PIN = "4711"
OPENING_MINOR = 100_00
PAYMENTS = 4


@dataclass(frozen=True, kw_only=True)
class Payer:
    wallet: int
    payee: int
    headers: dict[str, str]


@pytest.fixture
def side(config: EngineConfig) -> Iterator[psycopg2.extensions.connection]:
    """Holds locks, so that what is under way stays so until the test lets go."""
    with closing(psycopg2.connect(config.database_url)) as connection:
        yield connection


def started(workspace: Workspace, config: EngineConfig, **settings: str) -> EngineProcess:
    return start_engine(launched_in(workspace), dataclasses.replace(config, settings={**settings}))


def payer_at(engine: EngineProcess, side: psycopg2.extensions.connection) -> Payer:
    """Two users with a wallet each; the first one's has money in it."""
    with httpx.Client(base_url=engine.base_url, timeout=SOON_S) as http:
        users = []
        for _ in range(2):
            name, password = secrets.token_hex(6), secrets.token_hex(8)
            body = {"username": name, "password": password}
            user = http.post("/v1/users", json=body).raise_for_status().json()
            token = http.post("/v1/auth/token", json=body).raise_for_status().json()
            headers = {"Authorization": f"Bearer {token['access_token']}"}
            opened = http.post("/v1/wallets", json={"asset": "USD"}, headers=headers)
            users.append((opened.raise_for_status().json()["id"], headers, user["id"]))
        (wallet, headers, _), (payee, _, _) = users
        http.put("/v1/users/me/pin", json={"pin": PIN}, headers=headers).raise_for_status()
    with side, side.cursor() as cursor:
        cursor.execute("UPDATE wallets SET balance = %s WHERE id = %s", (OPENING_MINOR, wallet))
    return Payer(wallet=wallet, payee=payee, headers={**headers, "X-Pin": PIN})


def pay(engine: EngineProcess, payer: Payer, key: str) -> httpx.Response:
    body = {
        "from_wallet_id": payer.wallet,
        "to_wallet_id": payer.payee,
        "amount": {"amount": 1_00, "asset": "USD"},
    }
    headers = {**payer.headers, "Idempotency-Key": key}
    url = f"{engine.base_url}/v1/transfers"
    return httpx.post(url, json=body, headers=headers, timeout=SOON_S)


def hold(side: psycopg2.extensions.connection, payer: Payer) -> None:
    with side.cursor() as cursor:
        cursor.execute("SELECT FROM wallets WHERE id = %s FOR UPDATE", (payer.wallet,))


def wait_for_waiters(config: EngineConfig, how_many: int) -> None:
    sql = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND datname = current_database() AND query LIKE %s"
    )
    with closing(psycopg2.connect(config.database_url)) as watcher:
        watcher.autocommit = True

        def waiting() -> bool:
            with watcher.cursor() as cursor:
                cursor.execute(sql, ("%FROM wallets%",))
                return bool((cursor.fetchone() or (0,))[0] == how_many)

        assert poll(waiting, SOON_S)


def refuses_connections(engine: EngineProcess) -> bool:
    with socket.socket() as late:
        return late.connect_ex((LOOPBACK, engine.port)) != 0


def balances(config: EngineConfig, payer: Payer) -> tuple[int, int]:
    with closing(psycopg2.connect(config.database_url)) as reader, reader.cursor() as cursor:
        cursor.execute(
            "SELECT balance FROM wallets WHERE id IN (%s, %s) ORDER BY id",
            (payer.wallet, payer.payee),
        )
        first, second = cursor.fetchall()
        return int(first[0]), int(second[0])


@pytest.mark.parametrize(
    ("workers", "how"),
    [
        (1, "told once"),
        (2, "told once"),
        # As a terminal does it, and service managers: the supervisor then tells its workers too.
        (2, "each of its processes told"),
        # Clients that have had 504 have been told that it may still succeed.
        (2, "answered late"),
    ],
)
def test_what_is_under_way_is_answered_and_in_the_books(
    workspace: Workspace,
    config: EngineConfig,
    side: psycopg2.extensions.connection,
    workers: int,
    how: str,
) -> None:
    config = dataclasses.replace(config, workers=workers)
    settings = {"REQUEST_DEADLINE_S": "0.5"} if how == "answered late" else {}
    engine = started(workspace, config, **settings)
    payer = payer_at(engine, side)
    hold(side, payer)
    with ThreadPoolExecutor(PAYMENTS) as clients:
        sent: list[Future[httpx.Response]] = [
            clients.submit(pay, engine, payer, f"{payer.wallet}-{n}") for n in range(PAYMENTS)
        ]
        wait_for_waiters(config, PAYMENTS)
        if how == "answered late":
            assert [future.result().status_code for future in sent] == [504] * PAYMENTS
        if how == "each of its processes told":
            for worker in psutil.Process(engine.pid).children():
                worker.send_signal(signal.SIGINT)
        os.kill(engine.pid, signal.SIGTERM)
        assert poll(lambda: refuses_connections(engine), SOON_S)
        assert engine.exit_code(WAITS_S) is None
        side.rollback()
        status = 504 if how == "answered late" else 201
        assert [future.result().status_code for future in sent] == [status] * PAYMENTS
    assert engine.exit_code(SOON_S) == 0
    assert balances(config, payer) == (OPENING_MINOR - PAYMENTS * 1_00, PAYMENTS * 1_00)
    engine.stop()


def _ends_unfinished(
    engine: EngineProcess,
    config: EngineConfig,
    side: psycopg2.extensions.connection,
    signals: int,
) -> None:
    """A payment is under way that will not end by itself; the engine ends all the same."""
    payer = payer_at(engine, side)
    hold(side, payer)
    with ThreadPoolExecutor(1) as client:
        sent = client.submit(pay, engine, payer, f"{payer.wallet}-unfinished")
        wait_for_waiters(config, 1)
        os.kill(engine.pid, signal.SIGTERM)
        assert poll(lambda: refuses_connections(engine), SOON_S)
        if signals == 2:
            os.kill(engine.pid, signal.SIGTERM)
        assert engine.exit_code(SOON_S) == 1
        assert isinstance(sent.exception(SOON_S), httpx.TransportError)
    side.rollback()
    wait_for_waiters(config, 0)
    assert balances(config, payer) == (OPENING_MINOR, 0)
    engine.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_told_twice_it_ends_at_once_and_nothing_is_half_done(
    workspace: Workspace,
    config: EngineConfig,
    side: psycopg2.extensions.connection,
    workers: int,
) -> None:
    several = dataclasses.replace(config, workers=workers)
    engine = started(workspace, several, SHUTDOWN_WITHIN_S="3600")
    _ends_unfinished(engine, config, side, signals=2)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_takes_longer_than_allowed_is_not_waited_for(
    workspace: Workspace,
    config: EngineConfig,
    side: psycopg2.extensions.connection,
    workers: int,
) -> None:
    several = dataclasses.replace(config, workers=workers)
    engine = started(workspace, several, SHUTDOWN_WITHIN_S="0.5")
    _ends_unfinished(engine, config, side, signals=1)


def test_an_idle_connection_does_not_keep_it(workspace: Workspace, config: EngineConfig) -> None:
    engine = started(workspace, config, SHUTDOWN_WITHIN_S="3600")
    with httpx.Client(base_url=engine.base_url) as idle:
        assert idle.get("/v1/health/live").status_code == 200
        os.kill(engine.pid, signal.SIGTERM)
        assert engine.exit_code(SOON_S) == 0
    engine.stop()
