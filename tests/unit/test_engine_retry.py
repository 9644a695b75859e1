"""Running a unit of work again: how often, after what, and never after COMMIT."""

from collections.abc import Callable
from unittest.mock import patch

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from engine.books import StaleVersion
from engine.refusals import OUTCOME_UNKNOWN, Refused
from engine.retry import ATTEMPTS, FIRST_PAUSE_S, run_bounded, run_once


class DriverError(Exception):
    def __init__(self, pgcode: str | None) -> None:
        self.pgcode = pgcode


def database_error(pgcode: str | None) -> DBAPIError:
    return OperationalError("SELECT", {}, DriverError(pgcode))


class Work:
    """Fails so many times, then succeeds."""

    def __init__(self, error: Exception, failures: int) -> None:
        self.runs = 0
        self._error = error
        self._failures = failures

    def __call__(self) -> str:
        self.runs += 1
        if self.runs <= self._failures:
            raise self._error
        return "done"


def pauses_of(action: Callable[[], object]) -> list[float]:
    slept: list[float] = []
    with patch("engine.retry.time.sleep", slept.append):
        action()
    return slept


PASSING = [*map(database_error, ("40001", "40P01", "23514")), StaleVersion()]


@pytest.mark.parametrize("error", PASSING)
def test_what_passes_is_run_again_with_bounded_pauses(error: Exception) -> None:
    work = Work(error, ATTEMPTS - 1)
    pauses = pauses_of(lambda: run_bounded(work))
    assert work.runs == ATTEMPTS
    assert len(pauses) == ATTEMPTS - 1
    assert all(0 <= p <= FIRST_PAUSE_S * 2**n for n, p in enumerate(pauses))


@pytest.mark.parametrize("error", PASSING)
def test_after_five_runs_it_ends_in_a_refusal_that_may_be_repeated(error: Exception) -> None:
    work = Work(error, 99)
    with pytest.raises(Refused) as caught:
        pauses_of(lambda: run_bounded(work))
    assert work.runs == ATTEMPTS
    assert caught.value.problem.name == (
        "version-conflict" if isinstance(error, StaleVersion) else "unavailable"
    )
    assert caught.value.problem.retry_with_same_key


@pytest.mark.parametrize(
    "error",
    [
        *map(database_error, (None, "55P03", "57014", "57P01", "23505", "08006")),
        Refused(OUTCOME_UNKNOWN, "COMMIT was sent"),
        ValueError(),
    ],
)
def test_nothing_else_is_run_again(error: Exception) -> None:
    work = Work(error, 1)
    with pytest.raises(type(error)) as caught:
        run_bounded(work)
    assert caught.value is error
    assert work.runs == 1


def test_without_retry_a_stale_version_is_the_clients_to_repeat() -> None:
    work = Work(StaleVersion(), 1)
    with pytest.raises(Refused) as caught:
        run_once(work)
    assert (caught.value.problem.status, work.runs) == (409, 1)


def test_without_retry_a_deadlock_is_an_error() -> None:
    work = Work(database_error("40P01"), 1)
    with pytest.raises(DBAPIError):
        run_once(work)
    assert work.runs == 1
