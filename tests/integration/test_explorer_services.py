"""The explorer on services that know nothing of it: other frameworks, drivers, languages, schemas."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from attacks.postgres.explorer.choosing import following
from attacks.postgres.explorer.run import Run
from attacks.postgres.explorer.signature import difference, signature
from engine.stores import PostgresServer
from tests.integration.little_services import FOLDER, Service, money_is_conserved, python, serving

INSTALL_S = 180
REPLAYS = 10


@pytest.fixture(scope="module")
def threads(postgres: PostgresServer) -> Iterator[Service]:
    with serving(postgres, "service_threads", python("threads.py")) as service:
        yield service


@pytest.fixture(scope="module")
def coroutines(postgres: PostgresServer) -> Iterator[Service]:
    with serving(postgres, "service_coroutines", python("coroutines.py")) as service:
        yield service


@pytest.fixture(scope="module")
def pipelines(postgres: PostgresServer) -> Iterator[Service]:
    with serving(postgres, "service_pipelines", python("pipelines.py")) as service:
        yield service


@pytest.fixture(scope="module")
def node(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("node")
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "pg"]
    subprocess.run(install, check=True, capture_output=True, timeout=INSTALL_S)
    script = folder / "service.js"
    script.write_text((FOLDER / "node.js").read_text())
    with serving(postgres, "service_node", ["node", str(script)]) as service:
        yield service


KINDS = [
    "threads",
    "coroutines",
    "pipelines",
    pytest.param("node", marks=pytest.mark.node),
]


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Service:
    found: Service = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("service", KINDS, indirect=True)
def test_two_payments_that_check_first_are_violated_and_that_lock_first_are_not(
    service: Service,
) -> None:
    racy = service.explore(service.two_payments("/pay/racy"))
    assert racy.losing is not None, racy
    assert racy.vacuous is None
    assert not racy.no_race_needed
    assert racy.first_violation is not None
    assert racy.first_violation <= 2 + len(racy.predictions), "not among the predicted orders"
    assert "lost update" in {found.anomaly for found, shown in racy.predictions if shown}

    right = service.explore(service.two_payments("/pay/right"))
    assert (right.violated, right.exhausted, right.reasons) == (0, True, [])
    assert right.overlapped > 0
    assert right.vacuous is None
    print(service.base_url, racy.explored, right.explored, right.duration_s)
