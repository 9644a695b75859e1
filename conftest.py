"""What every test may stand on: one workspace and one PostgreSQL and Redis for the whole session.

Also the options of `pytest scenarios --build hardened --stores auto`.
"""

import gc
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import hypothesis
import psutil
import pytest

from engine.defences import DefenceError, parse_build
from engine.fork_server import ForkServer
from engine.ownership import Workspace, sweep
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer, open_postgres, open_redis
from scenarios.stand import Stand

TAKE_LONG = (
    "integration/test_cli.py",
    "integration/test_engine_builds.py",
    "integration/test_price.py",
    "integration/test_scale_truth.py",
    "unit/test_scale_recorded.py",
    "integration/test_cell.py",
    "quality/test_planted_procedures.py",
    "integration/test_explorer_diagnosis.py",
    "integration/test_replay.py",
    "integration/test_locustfile.py",
    "integration/test_engine_migrations.py",
    "unit/test_scale_imagined.py",
    "integration/test_engine_bad_input.py",
    "integration/test_whole_transfers_compared.py",
    "integration/test_engine_workers.py",
    "integration/test_locust_and_engine.py",
    "integration/test_engine_process.py",
    "integration/test_engine_metrics.py",
    "integration/test_explorer_services.py",
    "integration/test_engine_ledgers.py",
    "integration/test_engine_commit.py",
)
"""These begin first, the longest at the head: no test process is left alone with one at the end."""
INSTALL_S = 60
MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it are made by tempfile
ROOM_BYTES = 12 * 1024**3
NODE_REMEDY = "install Node.js and npm, such as `apt-get install nodejs npm`"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("assay", "claims (pytest scenarios)")
    group.addoption("--build", action="append", help="build to test; may be given again")
    group.addoption(
        "--stores", default="auto", choices=("auto", "external", "container", "embedded")
    )


def pytest_configure(config: pytest.Config) -> None:
    _keep_databases_in_memory()
    # How long an example takes says how busy the machine is.
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")
    if hasattr(config.option, "loadscopereorder"):
        # pytest-xdist would begin with the files that have the most tests.
        config.option.loadscopereorder = False
    for name in config.getoption("--build") or []:
        try:
            parse_build(name)
        except DefenceError as error:
            raise pytest.UsageError(str(error)) from error


def _keep_databases_in_memory() -> None:
    """Hundreds of them come and go: on a disk that is slow to delete, tests wait for seconds.

    What pytest keeps of the last runs stays on the disk. TMPDIR is what whoever sets it wants.
    """
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return
    if min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) < ROOM_BYTES:
        return
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tests = config.rootpath / "tests"
    ranks = {tests / name: rank for rank, name in enumerate(TAKE_LONG)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish() -> None:
    # Modules and tests stay until the end: the collector need not look at them again and again.
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session")
def workspace() -> Iterator[Workspace]:
    sweep()
    with Workspace() as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres(workspace: Workspace) -> Iterator[PostgresServer]:
    server = open_postgres("embedded", workspace)
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server(workspace: Workspace) -> Iterator[RedisServer]:
    server = open_redis("embedded", workspace)
    yield server
    server.close()


@pytest.fixture(scope="session")
def databases(postgres: PostgresServer) -> Databases:
    return Databases(postgres)


@pytest.fixture(scope="session")
def fork_server(workspace: Workspace) -> ForkServer:
    """Started once: whoever wants engines forked may share it."""
    return ForkServer(workspace)


@pytest.fixture(scope="session")
def stand(
    workspace: Workspace,
    fork_server: ForkServer,
    postgres: PostgresServer,
    redis_server: RedisServer,
    databases: Databases,
) -> Stand:
    return Stand(
        workspace=workspace,
        postgres=postgres,
        redis=redis_server,
        databases=databases,
        launch=fork_server.start,
        isolation_level="read committed",
    )


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with node-postgres in it, for scripts to be put beside.

    Without Node.js, or where the driver cannot be had, who asks for it is skipped with the reason,
    and fails instead where ASSAY_REQUIRE_NODE=1.
    """
    absent = [name for name in ("node", "npm") if shutil.which(name) is None]
    if absent:
        _do_without_node(f"no {' and no '.join(absent)} on the PATH; {NODE_REMEDY}")
    folder = tmp_path_factory.mktemp("node")
    # Without a registry in reach it is known at once, not after npm's retries of minutes.
    impatient = ["--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000"]
    install = ["npm", "install", *impatient, "--prefix", str(folder), "pg"]
    try:
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        _do_without_node(f"npm did not install node-postgres within {INSTALL_S} s")
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[0]
        _do_without_node(f"npm could not install node-postgres: {reason}")
    return folder


def _do_without_node(reason: str) -> NoReturn:
    if os.environ.get("ASSAY_REQUIRE_NODE") == "1":
        pytest.fail(f"Node.js is required here: {reason}")
    pytest.skip(reason)
