"""The explorer on services that know nothing of it: other frameworks, drivers and languages."""

from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from attacks.postgres.explorer.choosing import following
from attacks.postgres.explorer.run import Racer, Run
from attacks.postgres.explorer.signature import difference, signature
from engine.stores import PostgresServer
from tests.integration.little_services import (
    FOLDER,
    IN_THE_SYSTEM,
    Service,
    money_is_conserved,
    python,
    serving,
)

REPLAYS = 10


@pytest.fixture(scope="module")
def threads(postgres: PostgresServer) -> Iterator[Service]:
    with serving(postgres, "service_threads", python("threads.py"), POOL_MIN="5") as service:
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
def node(postgres: PostgresServer, node_modules: Path) -> Iterator[Service]:
    script = node_modules / "service.js"
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


def test_three_requests(coroutines: Service) -> None:
    service = coroutines

    def three(path: str) -> list[Racer]:
        return [service.pays(path, payee) for payee in ("bob", "cid", "dan")]

    racy = service.explore(three("/pay/racy"))
    assert racy.losing is not None
    assert not racy.no_race_needed
    assert racy.losing.run.preemptions <= 1, "two of the three are enough"

    right = service.explore(three("/pay/right"))
    assert (right.violated, right.exhausted, right.reasons) == (0, True, [])
    assert right.overlapped > 0


def test_a_reader_against_a_writer(threads: Service) -> None:
    """Ann pays Bob: what both have together is always the same."""

    def shown_total(_: psycopg2.extensions.cursor, run: Run) -> int:
        return int(run.results[0] != {"total": IN_THE_SYSTEM})

    writer = threads.pays("/pay/right", "bob")
    racy = threads.explore([threads.reads("/total/racy"), writer], shown_total)
    assert racy.losing is not None
    assert not racy.no_race_needed
    assert "read skew" in {found.anomaly for found, shown in racy.predictions if shown}
    assert racy.losing.run.results[0] != {"total": IN_THE_SYSTEM}

    right = threads.explore([threads.reads("/total/right"), writer], shown_total)
    assert (right.violated, right.exhausted, right.reasons) == (0, True, [])
    # Every order in which the two meet is the same as one in which they do not.
    assert right.pruned > 0
    assert right.vacuous is None


@pytest.mark.parametrize("service", KINDS, indirect=True)
def test_a_losing_order_loses_again_with_the_same_trace(service: Service) -> None:
    racers = service.two_payments("/pay/racy")
    lost = service.explore(racers).losing
    assert lost is not None
    for _ in range(REPLAYS):
        again = service.attempt(racers, money_is_conserved, following(lost.run.order))
        assert again.violations
        assert difference(signature(lost.run), signature(again.run)) is None
        assert again.run.order == lost.run.order
        assert again.run.uncontrolled == ()


@pytest.mark.slow
def test_sessions_are_served_by_turns(threads: Service) -> None:
    """A pool hands a session on: what one request began with serves the other one later."""
    served: dict[int, set[int]] = {}

    def judge(_: psycopg2.extensions.cursor, run: Run) -> int:
        for taken in run.taken:
            served.setdefault(taken.step.session, set()).add(taken.racer)
            payee = "'bob'" if taken.racer == 0 else "'cid'"
            other = "'cid'" if taken.racer == 0 else "'bob'"
            assert other not in taken.step.sql, f"a statement for {payee} only"
        return 0

    explored = threads.explore(threads.two_payments("/pay/right"), judge)
    assert explored.exhausted
    assert {0, 1} in served.values()
