"""Running a unit of work again: how often, after what, and never after COMMIT."""

from collections.abc import Callable
from contextlib import suppress
from unittest.mock import patch

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from engine.books import StaleVersion
from engine.defences import parse_build, values_of
from engine.refusals import INSUFFICIENT_FUNDS, OUTCOME_UNKNOWN, Refused
from engine.retry import (
    ATTEMPTS,
    FIRST_PAUSE_S,
    Retry,
    run_after_lost_races,
    run_blindly,
    run_bounded,
    run_once,
)


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


LOST_RACES = [*map(database_error, ("40001", "40P01"))]


@pytest.mark.parametrize("error", LOST_RACES)
def test_lost_races_are_run_again_and_then_passed_on(error: Exception) -> None:
    work = Work(error, ATTEMPTS - 1)
    pauses_of(lambda: run_after_lost_races(work))
    assert work.runs == ATTEMPTS
    with pytest.raises(DBAPIError) as caught:
        pauses_of(lambda: run_after_lost_races(Work(error, 99)))
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [*map(database_error, (None, "23514", "55P03", "57P01")), Refused(OUTCOME_UNKNOWN, "lost")],
)
def test_stale_values_are_not_written_again_after_anything_else(error: Exception) -> None:
    work = Work(error, 1)
    with pytest.raises(type(error)):
        run_after_lost_races(work)
    assert work.runs == 1


@pytest.mark.parametrize(
    "error",
    [
        *map(database_error, (None, "40001", "40P01", "55P03", "57014", "57P01", "08006")),
        InterfaceError("COMMIT", {}, DriverError(None)),
        Refused(OUTCOME_UNKNOWN, "COMMIT was sent"),
    ],
)
def test_blindly_every_operational_error_is_run_again_a_lost_commit_too(error: Exception) -> None:
    work = Work(error, ATTEMPTS - 1)
    pauses_of(lambda: run_blindly(work))
    assert work.runs == ATTEMPTS


@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("UPDATE", {}, DriverError("23514")),
        Refused(INSUFFICIENT_FUNDS, "poor"),
        ValueError(),
    ],
)
def test_blindly_a_definite_answer_is_still_one(error: Exception) -> None:
    work = Work(error, 1)
    with pytest.raises(type(error)) as caught:
        run_blindly(work)
    assert (caught.value, work.runs) == (error, 1)


@pytest.mark.parametrize("run", [run_after_lost_races, run_blindly])
def test_a_stale_version_is_the_clients_to_repeat(run: Callable[[Work], str]) -> None:
    work = Work(StaleVersion(), 1)
    with pytest.raises(Refused) as caught:
        run(work)
    assert (caught.value.problem.name, work.runs) == ("version-conflict", 1)


def runs_of(value: str, error: Exception) -> int:
    work = Work(error, 1)
    with suppress(DBAPIError, Refused):
        pauses_of(lambda: Retry(parse_build(f"hardened,retry={value}").defences).run(work))
    return work.runs


def test_each_value_of_the_switch_is_its_own_way() -> None:
    lost_commit = Refused(OUTCOME_UNKNOWN, "COMMIT was sent")
    deadlock, too_low = database_error("40P01"), database_error("23514")
    runs = {
        value: tuple(runs_of(value, error) for error in (deadlock, too_low, lost_commit))
        for value in ("none", "stale_values", "bounded")
    }
    assert runs == {"none": (1, 1, 1), "stale_values": (2, 1, 1), "bounded": (2, 2, 1)}
    assert runs_of("blind", lost_commit) == 2


def test_only_stale_values_go_on_with_what_was_read() -> None:
    going_on = {
        value
        for value in values_of("retry")
        if Retry(parse_build(f"hardened,retry={value}").defences).goes_on
    }
    assert going_on == {"stale_values"}
