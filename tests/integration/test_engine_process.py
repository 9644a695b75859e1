"""The engine as a real process: killed, it comes back; and it says why it does not start."""

import dataclasses
import socket
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from engine.defences import parse_build
from engine.fork_server import ForkServer
from engine.ownership import Workspace
from engine.process import (
    EngineConfig,
    EngineError,
    EngineProcess,
    Launch,
    launched_in,
    start_engine,
)
from engine.provision import Databases
from engine.stores import PostgresServer, ReservedPort, free_port, ports
from engine.stores.ports import LOOPBACK

USD = {"asset": "USD"}


@pytest.fixture(scope="module", params=[pytest.param("program", marks=pytest.mark.slow), "forked"])
def launch(workspace: Workspace, request: pytest.FixtureRequest) -> Launch:
    return launched_in(workspace) if request.param == "program" else ForkServer(workspace).start


@pytest.fixture(scope="module")
def engine(launch: Launch, config: EngineConfig) -> Iterator[EngineProcess]:
    started = start_engine(launch, config)
    yield started
    started.stop()


def log_in(client: httpx.Client, password: str) -> dict[str, str]:
    who = {"username": "operator", "password": password}
    token = client.post("/v1/auth/token", json=who).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def bare(headers: dict[str, str]) -> dict[str, str]:
    """Without the PIN, which is not to be changed but to be set."""
    return {name: value for name, value in headers.items() if name != "X-Pin"}


def test_money_and_tokens_survive_a_kill(engine: EngineProcess) -> None:
    with httpx.Client(base_url=engine.base_url) as client:
        operator = log_in(client, engine.operator_password) | {"X-Pin": "4711"}
        first = client.put("/v1/users/me/pin", json={"pin": "4711"}, headers=bare(operator))
        # The operator of this database may have one already, under the same pepper.
        assert first.status_code == 204 or "pin-required" in first.text
        user = client.post("/v1/users", json={"username": f"survivor-{engine.pid}"}).json()
        wallet = client.post("/v1/wallets", json={"user_id": user["id"]}, headers=operator).json()
        path = f"/v1/wallets/{wallet['id']}"
        keyed = operator | {"Idempotency-Key": f"before-{engine.pid}"}
        body = {"amount": {"amount": 12_34} | USD}
        paid = client.post(f"{path}/deposits", json=body, headers=keyed)
        assert paid.status_code == 201, paid.text
        engine.kill()
        assert not engine.alive
        engine.start()
        again = client.post(f"{path}/deposits", json=body, headers=keyed)
        assert (again.status_code, again.content) == (201, paid.content)
        balance = client.get(path, headers=operator).json()["balance"]
        assert balance == {"amount": 12_34} | USD


def test_nobody_is_served_while_it_is_paused(engine: EngineProcess) -> None:
    engine.pause()
    try:
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{engine.base_url}/v1/health/live", timeout=0.3)
    finally:
        engine.resume()
    assert httpx.get(f"{engine.base_url}/v1/health/live").status_code == 200


def test_why_it_does_not_start_is_said(
    launch: Launch, config: EngineConfig, databases: Databases, postgres: PostgresServer
) -> None:
    other = postgres.url(databases.create(parse_build("fragile").defences))
    with pytest.raises(EngineError, match="was migrated as float-unconstrained-single"):
        start_engine(launch, dataclasses.replace(config, database_url=other))


def test_a_senseless_build_ends_with_one_line(launch: Launch, config: EngineConfig) -> None:
    build = parse_build("hardened,idempotency=redis_only")
    senseless = dataclasses.replace(config, build=build, redis_url="")
    with pytest.raises(EngineError, match="engine: idempotency=redis_only keeps its keys in Redis"):
        start_engine(launch, senseless)


def test_the_port_of_a_dead_engine_is_nobody_elses(launch: Launch, config: EngineConfig) -> None:
    engine = start_engine(launch, config)
    try:
        engine.kill()
        for reuse in (socket.SO_REUSEADDR, socket.SO_KEEPALIVE):
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, reuse, 1)
                with pytest.raises(OSError, match="in use"):
                    other.bind((LOOPBACK, engine.port))
        with pytest.raises(httpx.ConnectError, match="refused"):
            httpx.get(f"{engine.base_url}/v1/health/live")
        engine.start()
    finally:
        engine.stop()


def test_a_port_that_is_taken_is_one_clear_line(launch: Launch, config: EngineConfig) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=f"{port}: address already in use; choose another"):
            start_engine(launch, dataclasses.replace(config, port=port))


def test_two_reserved_ports_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(ReservedPort()) as one:
        offered = iter([one.port, free_port()])
        monkeypatch.setattr(ports, "free_port", offered.__next__)
        with closing(ReservedPort()) as other:
            assert other.port != one.port
