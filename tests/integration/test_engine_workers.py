"""Several processes behind one port: they come together, end together, and replace the dead."""

import dataclasses
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from engine.defences import parse_build
from engine.fork_server import ForkServer
from engine.ownership import Workspace, poll
from engine.process import (
    EngineConfig,
    EngineError,
    EngineProcess,
    Launch,
    launched_in,
    start_engine,
)
from engine.provision import Databases
from engine.stores import PostgresServer
from engine.stores.ports import LOOPBACK

SOON_S = 20.0
CLIENTS = 32


@pytest.fixture(scope="module")
def config(config: EngineConfig) -> EngineConfig:
    return dataclasses.replace(config, workers=2)


@pytest.fixture(params=[pytest.param("program", marks=pytest.mark.slow), "forked"])
def launch(workspace: Workspace, request: pytest.FixtureRequest) -> Launch:
    return launched_in(workspace) if request.param == "program" else ForkServer(workspace).start


@pytest.fixture
def engine(launch: Launch, config: EngineConfig) -> Iterator[EngineProcess]:
    started = start_engine(launch, config)
    yield started
    started.stop()


def workers_of(engine: EngineProcess) -> set[int]:
    return {child.pid for child in psutil.Process(engine.pid).children()}


def answers(engine: EngineProcess) -> bool:
    try:
        return httpx.get(f"{engine.base_url}/v1/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def gone(pids: set[int]) -> bool:
    return not any(_lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_all_of_them_serve_when_the_engine_is_ready(
    engine: EngineProcess, config: EngineConfig
) -> None:
    workers = workers_of(engine)
    assert len(workers) == config.workers
    database_port = urlsplit(config.database_url).port
    # The start of each has asked the database.
    assert {pid for pid in workers if database_port in ports_of(pid, remote=True)} == workers
    with ExitStack() as opened:
        for _ in range(CLIENTS):
            client = opened.enter_context(httpx.Client(base_url=engine.base_url))
            assert client.get("/v1/health/ready").status_code == 200
        # Kept connections: each worker has taken some of them.
        assert {pid for pid in workers if engine.port in ports_of(pid, remote=False)} == workers


def ports_of(pid: int, *, remote: bool) -> set[int]:
    """Of its established connections: of the other end, or of its own."""
    found = psutil.Process(pid).net_connections()
    ends = [c.raddr if remote else c.laddr for c in found if c.status == psutil.CONN_ESTABLISHED]
    return {end.port for end in ends}


def test_a_killed_engine_leaves_no_worker_behind(engine: EngineProcess) -> None:
    workers = workers_of(engine)
    engine.kill()
    assert gone(workers)
    with socket.socket() as late:
        assert late.connect_ex((LOOPBACK, engine.port)) != 0
    engine.start()
    assert answers(engine)


def test_workers_do_not_outlive_their_supervisor(engine: EngineProcess) -> None:
    workers = workers_of(engine)
    os.kill(engine.pid, signal.SIGKILL)
    assert poll(lambda: gone(workers), SOON_S)


def test_a_worker_that_dies_is_replaced(engine: EngineProcess) -> None:
    before = workers_of(engine)
    dead = min(before)
    os.kill(dead, signal.SIGKILL)
    assert poll(lambda: len(workers_of(engine) - {dead}) == len(before), SOON_S)
    (new,) = workers_of(engine) - before
    # Only the new one is left, so that it has to be the one that answers.
    other = next(iter(before - {dead}))
    os.kill(other, signal.SIGSTOP)
    try:
        assert poll(lambda: _answers_in_time(engine), SOON_S)
    finally:
        os.kill(other, signal.SIGCONT)
    assert new in workers_of(engine)
    assert "another takes its place" in engine.log()


def _answers_in_time(engine: EngineProcess) -> bool:
    """A connection that the stopped worker would take is not answered: the next one may be."""
    try:
        return httpx.get(f"{engine.base_url}/v1/health/live", timeout=0.5).status_code == 200
    except httpx.TransportError:
        return False


def test_told_to_end_all_end_and_the_exit_code_is_0(
    workspace: Workspace, config: EngineConfig
) -> None:
    engine = start_engine(launched_in(workspace), config)
    workers = workers_of(engine)
    os.kill(engine.pid, signal.SIGTERM)
    assert engine.exit_code(SOON_S) == 0
    assert gone(workers)


def test_why_they_do_not_start_is_said_once(
    launch: Launch, config: EngineConfig, databases: Databases, postgres: PostgresServer
) -> None:
    other = postgres.url(databases.create(parse_build("fragile").defences))
    wrong = dataclasses.replace(config, database_url=other)
    with pytest.raises(EngineError, match="was migrated as float-unconstrained-single") as told:
        start_engine(launch, wrong)
    assert str(told.value).count("was migrated as") == 1


def test_nobody_answers_while_it_is_paused(engine: EngineProcess) -> None:
    engine.pause()
    try:
        assert not _answers_in_time(engine)
    finally:
        engine.resume()
    assert answers(engine)


def test_a_number_of_workers_that_makes_no_sense_is_one_line(
    launch: Launch, config: EngineConfig
) -> None:
    with pytest.raises(EngineError, match="engine: ENGINE_WORKERS: Input should be greater"):
        start_engine(launch, dataclasses.replace(config, workers=0))
