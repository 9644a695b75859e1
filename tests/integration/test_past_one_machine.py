"""Past one machine, on this one: a master, three workers, engines on ports of their own before one
PostgreSQL; each worker's history in a folder of its own, and the audit over all of them."""

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2
import pytest

from attacks.history import read_history
from engine.defences import parse_build
from engine.process import EngineConfig, EngineProcess, start_engine
from engine.stores import free_port
from scenarios.stand import Stand, became_quiet
from tests.integration.locust_runs import WITHIN_S, command_of, environment_of
from tests.integration.test_audit_command import ONE_TRANSFER, UNGUARDED, audited

pytestmark = pytest.mark.slow

ENGINES, WORKERS = 3, 3


class Site:
    """Engines that share a database and their secrets."""

    def __init__(self, stand: Stand, build: str, opened: ExitStack) -> None:
        self.build = parse_build(build)
        self.database_url = stand.postgres.url(stand.databases.create(self.build.defences))
        config = EngineConfig(
            build=self.build,
            database_url=self.database_url,
            redis_url=stand.redis.url,
            redis_namespace=secrets.token_hex(4),
        )
        self.first = start_engine(stand.launch, config)
        opened.callback(self.first.stop)
        self.engines: list[EngineProcess] = [self.first]
        for _ in range(ENGINES - 1):
            another = self.first.another()
            opened.callback(another.stop)
            another.wait_until_ready()
            self.engines.append(another)


@pytest.fixture(params=["hardened", "fragile"])
def site(stand: Stand, request: pytest.FixtureRequest) -> Iterator[Site]:
    with ExitStack() as opened:
        yield Site(stand, request.param, opened)


def loaded(site: Site, folder: Path) -> str:
    """Each process writes to a folder of its own, as on a machine of its own."""
    port = str(free_port())
    connection = ("--master-bind-port", port, "--master-port", port)
    others = [word for engine in site.engines[1:] for word in ("--also-host", engine.base_url)]
    words = (
        *("--master", "--expect-workers", str(WORKERS), *others, "-u", "9", "-r", "9", "-t", "5s"),
        *("-s", "5", "--wallets", "4", "--mix", "payments,hot,retries"),
    )
    log = folder / "log"
    processes = []
    with log.open("wb") as file, ExitStack() as ended:
        for name, said in [("master", words)] + [(f"worker-{n}", ("--worker",)) for n in "abc"]:
            process = subprocess.Popen(
                command_of(site.first.base_url, (*said, *connection)),
                env=environment_of(
                    history=folder / name, OPERATOR_PASSWORD=site.first.operator_password
                ),
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            ended.callback(process.wait, WITHIN_S)
            ended.callback(process.kill)
            processes.append(process)
        assert [process.wait(WITHIN_S) for process in processes] == [0] * 4, log.read_text()
    assert became_quiet(site.database_url)
    return log.read_text()


def together(folder: Path) -> Path:
    """Their histories in one folder, as after `scp`."""
    whole = folder / "together"
    whole.mkdir()
    for file in folder.glob("*/*.jsonl"):
        if file.parent != whole:
            assert not (whole / file.name).exists()
            shutil.copy(file, whole)
    return whole


def test_the_audit_is_over_all_histories(site: Site, tmp_path: Path) -> None:
    log = loaded(site, tmp_path)
    whole = together(tmp_path)
    names = {file.name for file in whole.glob("*.jsonl")}
    loads = [f"load.{number}.jsonl" for number in range(WORKERS)]
    assert names == {"preparation.jsonl", "workers.jsonl", *loads}, log
    for load in loads:
        assert any(o.outcome == "ok" for o in read_history(whole / load).operations)
    done = audited(whole, site.database_url, site.build.name)
    if site.build.name == "fragile":
        assert done.returncode == 1, done.stdout + done.stderr
        assert "FAIL    money is conserved" in done.stdout
        return
    assert done.returncode == 0, done.stdout + done.stderr
    for missing in (loads[1], "preparation.jsonl"):
        # What was not brought along is no loss, and no proof that there is none.
        part = tmp_path / f"without-{missing}"
        shutil.copytree(whole, part, ignore=shutil.ignore_patterns(missing, "*.parquet"))
        done = audited(part, site.database_url)
        assert done.returncode == 3, done.stdout + done.stderr
        assert f"{missing} of the same load is missing" in done.stdout
    with closing(psycopg2.connect(site.database_url)) as side, side, side.cursor() as cursor:
        cursor.execute(UNGUARDED)
        cursor.execute(f"DELETE FROM transactions WHERE id::text = {ONE_TRANSFER}")
    done = audited(whole, site.database_url)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL    every acknowledged payment is recorded once" in done.stdout
