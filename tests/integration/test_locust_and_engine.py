"""Locust, alone and as master and workers, against a real engine; and every cent looked for."""

import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from statistics import median

import httpx
import psutil
import psycopg2
import pytest

from attacks.history import History, read_history
from attacks.load.parts import PART
from attacks.load.plan import read_plan, write_plan
from engine.defences import parse_build
from engine.process import EngineConfig, EngineProcess, start_engine
from engine.stores import free_port
from reports.evidence import Verdict
from scenarios.audit import audit
from scenarios.stand import Stand, became_quiet
from scenarios.targets.engine_wallet import EngineWallet
from tests.integration.locust_runs import (
    WITHIN_S,
    command_of,
    environment_of,
    locust,
    plan_file,
    wait_for,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(stand: Stand) -> EngineConfig:
    build = parse_build("hardened")
    return EngineConfig(
        build=build,
        database_url=stand.postgres.url(stand.databases.create(build.defences)),
        redis_url=stand.redis.url,
        redis_namespace=secrets.token_hex(4),
    )


@pytest.fixture(scope="module")
def engine(stand: Stand, config: EngineConfig) -> Iterator[EngineProcess]:
    started = start_engine(stand.launch, config)
    yield started
    started.stop()


def histories(folder: Path) -> dict[str, History]:
    return {path.name: read_history(path, torn=True) for path in sorted(folder.glob("*.jsonl"))}


def ended(history: History) -> bool:
    return any(event.text == "load ended" for event in history.events)


def merged(histories: Iterable[History]) -> History:
    """Several processes' histories as one, numbered anew."""
    operations = chain.from_iterable(history.operations for history in histories)
    return History(
        operations=tuple(
            replace(operation, id=number) for number, operation in enumerate(operations, start=1)
        )
    )


def must_be_whole(engine: EngineProcess, database_url: str, folder: Path) -> History:
    """Every acknowledged operation has exactly its effect. All histories of this database."""
    found = [h for path in sorted(folder.parent.iterdir()) for h in histories(path).values()]
    assert became_quiet(database_url)
    meta = httpx.get(f"{engine.base_url}/v1/meta").json()
    with closing(psycopg2.connect(database_url)) as connection:
        truth = EngineWallet(meta, engine.operator_password).read_truth(connection)
    judged = audit(merged(found), truth)
    assert judged.verdict is Verdict.HELD, judged
    return merged(histories(folder).values())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The histories of every load on the engine, which are audited together."""
    return tmp_path_factory.mktemp("runs")


def ports() -> tuple[str, ...]:
    port = str(free_port())
    return ("--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port)


def test_every_kind_of_customer_and_every_cent(
    engine: EngineProcess, config: EngineConfig, runs: Path
) -> None:
    done = locust(
        engine.base_url,
        *("-u", "18", "-r", "18", "-t", "4s", "-s", "5", "--wallets", "9"),
        *("--threshold", "transfer.errors==0", "--threshold", "tps>1"),
        history=runs / "alone",
        OPERATOR_PASSWORD=engine.operator_password,
    )
    assert done.returncode == 0, done.stdout
    found = histories(runs / "alone")
    prepared = found["preparation.jsonl"].operations
    assert [operation.name for operation in prepared] == ["deposit"] * 9
    load = found["load.jsonl"]
    assert ended(load)
    assert all(operation.intended_s is None for operation in load.operations)
    acknowledged = {operation.name for operation in load.operations if operation.outcome == "ok"}
    # A batch that was paid in part is read back row by row, where there was one.
    assert acknowledged - {"read-batch", PART} == {
        "transfer", "deposit", "withdrawal", "read-balance", "read-history",
        "set-up-batch", "upload-batch", "execute-batch",
    }  # fmt: skip
    replays = [o for o in load.operations if o.answer == "201 replayed"]
    assert replays, "no client ever asked twice"
    assert "Bearer" not in (runs / "alone" / "load.jsonl").read_text()
    must_be_whole(engine, config.database_url, runs / "alone")


def test_processes_share_wallets_that_are_prepared_once(
    engine: EngineProcess, config: EngineConfig, runs: Path
) -> None:
    done = locust(
        engine.base_url,
        *("-u", "6", "-r", "6", "-t", "4s", "-s", "5", "--wallets", "6", "--processes", "2"),
        *("--mix", "payments,readers", "--tps", "40", *ports()),
        *("--threshold", "tps>1", "--threshold", "rps<60", "--threshold", "p95>1us"),
        history=runs / "processes",
        OPERATOR_PASSWORD=engine.operator_password,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 3
    found = histories(runs / "processes")
    loads_of_workers = {"load.0.jsonl", "load.1.jsonl"}
    assert set(found) == {*loads_of_workers, "preparation.jsonl", "workers.jsonl"}
    assert len(found["preparation.jsonl"].operations) == 6
    loads = [found["load.0.jsonl"], found["load.1.jsonl"]]
    assert all(ended(load) for load in loads)
    actors = [{operation.actor for operation in load.operations} for load in loads]
    assert all(actors)
    assert not actors[0] & actors[1]
    # Together they keep the pace of one: no two requests are due at the same time.
    due = sorted(o.intended_s for load in loads for o in load.operations if o.intended_s)
    assert len(set(due)) == len(due)
    for load in loads:
        mine = [o.intended_s for o in load.operations if o.intended_s]
        assert (max(mine) - min(mine)) / (len(mine) - 1) == pytest.approx(2 / 40, rel=0.01)
    must_be_whole(engine, config.database_url, runs / "processes")


def start(
    host: str, words: tuple[str, ...], log: Path, password: str = ""
) -> subprocess.Popen[bytes]:
    history = log.with_suffix("")
    with log.open("wb") as file:
        return subprocess.Popen(
            command_of(host, words),
            env=environment_of(history=history, OPERATOR_PASSWORD=password),
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_worker_that_is_killed_is_said_and_the_others_go_on(
    engine: EngineProcess, config: EngineConfig, runs: Path
) -> None:
    """Over loopback as over machines: a master, two workers, and a plan that the master made."""
    connection = ports()
    words = ("-u", "4", "-r", "4", "-t", "90s", "-s", "5", "--wallets", "6", "--mix", "payments")
    paced = ("--tps", "40", "--threshold", "tps>0.1", "--master", "--expect-workers", "2")
    log = runs / "distributed.log"
    master = start(engine.base_url, (*words, *paced, *connection), log, engine.operator_password)
    folder = runs / "distributed"
    # Only the master knows the operator: what the workers need comes from it.
    workers = [
        start(engine.base_url, ("--worker", *connection), runs / "distributed.log") for _ in "ab"
    ]
    try:
        first = folder / "load.0.jsonl"
        wait_for(lambda: lines_in(first) > 20, f"no load: {log.read_text()}")
        victim = next(
            worker
            for worker in workers
            if first in {Path(f.path) for f in psutil.Process(worker.pid).open_files()}
        )
        victim.kill()
        wait_for(lambda: "was lost" in log.read_text(), f"nobody noticed: {log.read_text()}")
        since = lines_in(folder / "load.1.jsonl")
        wait_for(lambda: lines_in(folder / "load.1.jsonl") > since + 60, "the other one stopped")
        master.terminate()
        assert master.wait(WITHIN_S) == 3, log.read_text()
        (left,) = [worker for worker in workers if worker is not victim]
        left.wait(WITHIN_S)
    finally:
        for process in (master, *workers):
            process.kill()
            process.wait(WITHIN_S)
    text = log.read_text()
    assert re.search(r"worker 0 \(\S+\) was lost in the middle of the load", text), text
    assert "its history is partial; 1 are left" in text
    found = histories(folder)
    assert found["load.0.jsonl"].operations
    assert not ended(found["load.0.jsonl"])
    assert ended(found["load.1.jsonl"])
    # A history is in the order of the answers; what was meant to be sent first may end last.
    intended = sorted(o.intended_s for o in found["load.1.jsonl"].operations if o.intended_s)
    gaps = [later - earlier for earlier, later in pairwise(intended)]
    # The one that is left keeps the whole pace from then on.
    assert median(gaps[:10]) == pytest.approx(2 / 40, rel=0.01)
    assert median(gaps[-10:]) == pytest.approx(1 / 40, rel=0.01)


def test_nothing_goes_on_without_its_master(engine: EngineProcess, runs: Path) -> None:
    words = ("-u", "2", "-r", "2", "-t", "90s", "--mix", "payments", "--wallets", "4")
    log = runs / "orphans.log"
    master = start(
        engine.base_url, (*words, "--processes", "2", *ports()), log, engine.operator_password
    )
    try:
        folder = runs / "orphans"
        wait_for(
            lambda: min(lines_in(folder / f"load.{n}.jsonl") for n in (0, 1)) > 5,
            f"no load: {log.read_text()}",
        )
        children = psutil.Process(master.pid).children()
        assert len(children) == 2
        master.send_signal(signal.SIGKILL)
        master.wait(WITHIN_S)
        gone, alive = psutil.wait_procs(children, timeout=WITHIN_S)
        assert len(gone) == 2, f"{alive} still run: {log.read_text()}"
    finally:
        master.kill()
        master.wait(WITHIN_S)
    assert "the master is gone" in log.read_text()


def test_an_engine_that_dies_in_the_middle_is_said_at_once(
    engine: EngineProcess, config: EngineConfig, runs: Path
) -> None:
    words = ("-u", "4", "-r", "4", "-t", "90s", "-s", "3", "--wallets", "4", "--patience-s", "1")
    log = runs / "dies.log"
    load = start(engine.base_url, (*words, "--tps", "30"), log, engine.operator_password)
    try:
        history = runs / "dies" / "load.jsonl"
        wait_for(lambda: lines_in(history) > 10, f"no load: {log.read_text()}")
        engine.kill()
        assert load.wait(WITHIN_S) == 4, log.read_text()
    finally:
        load.kill()
        load.wait(WITHIN_S)
        engine.start()
    assert f"nobody has answered at {engine.base_url} for" in log.read_text()
    assert ended(read_history(history))


def test_a_plan_of_wrong_tokens_is_said_at_once(engine: EngineProcess, tmp_path: Path) -> None:
    plan = plan_file(tmp_path)
    write_plan(plan, read_plan(plan))
    done = locust(engine.base_url, "-u", "2", "-r", "2", "-t", "90s", plan=plan)
    assert done.returncode == 4, done.stdout
    assert f"{engine.base_url} answers nothing but errors:" in done.stdout


@pytest.mark.parametrize(("password", "says"), [("", "set OPERATOR_PASSWORD"), ("no", "401")])
def test_a_wrong_operator_is_said_in_one_line(
    engine: EngineProcess, password: str, says: str
) -> None:
    done = locust(engine.base_url, "-u", "2", "-t", "90s", OPERATOR_PASSWORD=password)
    assert done.returncode == 4, done.stdout
    (line,) = [one for one in done.stdout.splitlines() if "assay load:" in one]
    assert says in line
    assert os.linesep not in line
