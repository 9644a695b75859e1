"""Services that the explorer cannot control: the cause, and what to change, within a bound.

A verdict is "unknown" where no two requests ever met (`vacuous` says why), "held, bounded" where
something was out of control, and "violated" where money was lost.
"""

from collections.abc import Iterator, Sequence

import pytest

from attacks.postgres.explorer import diagnosis
from attacks.postgres.explorer.choosing import following, serial
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried
from attacks.postgres.explorer.run import Choose, Racer
from engine.stores import PostgresServer
from tests.integration.little_services import (
    Service,
    money_is_conserved,
    python,
    racing_threads,
    serving,
)

RUN_BOUND_S = 5.0
SMALL = Budget(exhaustive=3, bounded=1, bounded_s=2, random=1)
POOL_OF_1 = (
    "the service has 1 connection to its database and it is in use by another request: make its"
    " pool at least 2 (if it is, a lock of its own makes requests wait)"
)


@pytest.fixture(scope="module")
def peculiar(postgres: PostgresServer) -> Iterator[Service]:
    with serving(postgres, "service_peculiar", python("peculiar.py")) as service:
        yield service


def explored_within_bounds(service: Service, racers: Sequence[Racer]) -> Explored:
    """Search, and then: no schedule took long, and nothing was left behind."""
    durations_s: list[float] = []

    def attempt(choose: Choose) -> Tried:
        tried = service.attempt(racers, money_is_conserved, choose)
        durations_s.append(tried.run.duration_s)
        return tried

    explored = Exploration(attempt=attempt, racers=len(racers), budget=SMALL, reproductions=2).run()
    assert max(durations_s) < RUN_BOUND_S
    assert racing_threads() == []
    assert service.open_transactions() == []
    return explored


def assert_unknown(explored: Explored, cause: str) -> None:
    assert explored.vacuous == cause
    assert (explored.violated, explored.overlapped, explored.exhausted) == (0, 0, False)


def assert_bounded(explored: Explored, cause: str) -> None:
    assert explored.vacuous is None
    assert (explored.violated, explored.exhausted) == (0, False)
    assert explored.overlapped > 0
    assert cause in explored.reasons


def assert_works(service: Service) -> None:
    """The next race is not disturbed by the one before."""
    # The pool notices first that some of its connections were ended.
    service.attempt(service.two_payments("/two-sessions"), money_is_conserved, serial((0, 1)))
    order = (0, 1, 0, 0, 0, 0, 1, 1)
    tried = service.attempt(
        service.two_payments("/two-sessions"), money_is_conserved, following(order)
    )
    assert tried.violations == 0
    assert tried.run.uncontrolled == ()
    assert tried.run.order[: len(order)] == order
    assert tried.run.results == ({"left": 3000}, {"left": -4000})


def test_a_pool_of_one(postgres: PostgresServer) -> None:
    command = python("threads.py")
    with serving(postgres, "service_pool", command, POOL="1", POOL_MIN="1") as service:
        racers = service.two_payments("/pay/racy")
        assert_unknown(explored_within_bounds(service, racers), POOL_OF_1)
        # Whoever waited has its own statements, and they are controlled as soon as they come.
        run = service.attempt(racers, money_is_conserved, serial((0, 1))).run
        assert [t.racer for t in run.taken] == sorted(t.racer for t in run.taken)
        assert {t.racer for t in run.taken} == {0, 1}
        assert run.unfinished == ()


def test_a_url_that_insists_on_tls(postgres: PostgresServer) -> None:
    name = "service_tls"

    def url(port: int) -> str:
        return f"{postgres.url(name, port=port)}?sslmode=require"

    with serving(postgres, name, python("threads.py"), database_url=url) as service:
        explored = explored_within_bounds(service, service.two_payments("/pay/racy"))
        assert "set sslmode=disable in the service's database URL" in (explored.vacuous or "")
        assert explored.explored == 2


def test_a_url_past_the_proxy(postgres: PostgresServer) -> None:
    name = "service_past"

    def url(_: int) -> str:
        return postgres.url(name)

    with serving(postgres, name, python("threads.py"), database_url=url) as service:
        explored = explored_within_bounds(service, service.two_payments("/pay/racy"))
        assert_unknown(explored, diagnosis.NOTHING_CAME)


def test_async_endpoints_with_a_blocking_driver(postgres: PostgresServer) -> None:
    with serving(postgres, "service_blocking", python("blocking.py")) as service:
        explored = explored_within_bounds(service, service.two_payments("/pay/racy"))
        assert_unknown(explored, diagnosis.BLOCKED)
        assert "async driver" in diagnosis.BLOCKED


def test_a_lock_of_its_own_around_the_payment(peculiar: Service) -> None:
    explored = explored_within_bounds(peculiar, peculiar.two_payments("/own-lock"))
    assert_unknown(explored, diagnosis.OWN_PROCESS)
    assert_works(peculiar)


def test_a_lock_of_its_own_around_a_part(peculiar: Service) -> None:
    path = "/own-lock-around-the-rest"
    explored = explored_within_bounds(peculiar, peculiar.two_payments(path))
    assert_bounded(explored, diagnosis.OWN_PROCESS)


def test_a_lock_of_its_own_that_comes_too_late(peculiar: Service) -> None:
    explored = explored_within_bounds(peculiar, peculiar.two_payments("/own-lock-late"))
    assert explored.losing is not None
    assert not explored.no_race_needed


def test_a_circle_of_a_lock_and_a_lock_of_its_own(peculiar: Service) -> None:
    racers = [peculiar.pays("/circle", "bob", 3001), peculiar.pays("/circle", "cid", 3000)]
    run = peculiar.attempt(racers, money_is_conserved, following((1, 0), then=1)).run
    assert run.duration_s < RUN_BOUND_S
    assert diagnosis.CIRCLE in run.uncontrolled
    assert run.unfinished == ()
    assert peculiar.open_transactions() == []
    assert_works(peculiar)


def test_retries_that_end_when_nobody_holds_the_lock(peculiar: Service) -> None:
    explored = explored_within_bounds(peculiar, peculiar.two_payments("/no-wait"))
    assert_bounded(explored, diagnosis.too_many_steps(200))
    assert_works(peculiar)


def test_retries_that_never_end(peculiar: Service) -> None:
    racers = peculiar.two_payments("/stubborn")
    run = peculiar.attempt(racers, money_is_conserved, serial((0, 1))).run
    assert run.duration_s < RUN_BOUND_S
    assert run.uncontrolled[0] == diagnosis.too_many_steps(200)
    assert run.results[0] == {"paid": 7000}
    assert peculiar.open_transactions() == []
    assert racing_threads() == []
    assert_works(peculiar)


def test_work_after_the_answer(peculiar: Service) -> None:
    lost = explored_within_bounds(peculiar, peculiar.two_payments("/later"))
    assert lost.losing is not None
    right = explored_within_bounds(peculiar, peculiar.two_payments("/later-right"))
    assert_bounded(right, diagnosis.OF_ITS_OWN)
    assert_works(peculiar)


def test_a_transaction_left_open(peculiar: Service) -> None:
    racers = [peculiar.pays("/left-open", "bob"), peculiar.pays("/left-open", "bob")]
    run = peculiar.attempt(racers, money_is_conserved, serial((0, 1))).run
    assert run.duration_s < RUN_BOUND_S
    assert run.uncontrolled[0] == diagnosis.LEFT_OPEN
    assert peculiar.open_transactions() == []
    assert_works(peculiar)


@pytest.mark.parametrize(
    "path", ["/slow-statement", pytest.param("/slow-look", marks=pytest.mark.slow)]
)
def test_a_statement_that_does_not_end(peculiar: Service, path: str) -> None:
    run = peculiar.attempt(peculiar.two_payments(path), money_is_conserved, serial((0, 1))).run
    assert run.duration_s < RUN_BOUND_S
    assert run.uncontrolled[0] == diagnosis.SLOW
    assert peculiar.open_transactions() == []
    assert racing_threads() == []
    assert_works(peculiar)


def test_two_sessions_a_request(peculiar: Service) -> None:
    right = peculiar.explore(peculiar.two_payments("/two-sessions"))
    assert (right.violated, right.exhausted, right.reasons) == (0, True, [])
    racy = peculiar.explore(peculiar.two_payments("/two-sessions-racy"))
    assert racy.losing is not None
    assert not racy.no_race_needed
    assert racy.reasons == []
    sessions = {(t.racer, t.step.session) for t in racy.losing.run.taken}
    assert len(sessions) == 4


@pytest.mark.slow
def test_a_background_job_is_never_exhausted(postgres: PostgresServer) -> None:
    command = python("peculiar.py")
    with serving(postgres, "service_job", command, JOB_EVERY_S="0.005") as service:
        least = Budget(exhaustive=1, bounded=1, random=0)
        explored = service.explore(service.two_payments("/two-sessions"), budget=least)
        assert not explored.exhausted
        assert {diagnosis.OF_ITS_OWN, diagnosis.AT_ONCE} & set(explored.reasons)
        assert service.open_transactions() == []
