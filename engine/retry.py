"""Running a unit of work again (switch `retry`)."""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from engine.books.protocol import StaleVersion
from engine.defences import Defences
from engine.refusals import OUTCOME_UNKNOWN, UNAVAILABLE, VERSION_CONFLICT, Refused

T = TypeVar("T")

SERIALIZATION_FAILURE = "40001"
DEADLOCK_DETECTED = "40P01"
CHECK_VIOLATION = "23514"
"""A balance that went below zero under our feet: read again and decide, never guess."""
LOST_A_RACE = frozenset({SERIALIZATION_FAILURE, DEADLOCK_DETECTED})
"""Ended in favour of another database transaction; nothing of it is left."""
WORTH_REPEATING = LOST_A_RACE | {CHECK_VIOLATION}

ATTEMPTS = 5
FIRST_PAUSE_S = 0.01

Told = Callable[[str], None]
"""Hears why a unit of work is run again."""


def _nobody(_: str) -> None:
    pass


def run_once(work: Callable[[], T], told: Told = _nobody) -> T:  # noqa: ARG001
    """No second try: a stale version is the client's to repeat, a deadlock is an error."""
    try:
        return work()
    except StaleVersion as error:
        raise _conflict() from error


def run_bounded(work: Callable[[], T], told: Told = _nobody) -> T:
    """At most five runs of the whole unit of work. Raises Refused when none succeeded."""
    try:
        return _repeat(work, _is_passing, told)
    except StaleVersion as error:
        raise _conflict() from error
    except DBAPIError as error:
        if not _is_passing(error):
            raise
        raise Refused(UNAVAILABLE, "the wallets are too busy; nothing happened") from error


def run_after_lost_races(work: Callable[[], T], told: Told = _nobody) -> T:
    """At most five runs, the next one after a deadlock or a serialisation failure.

    A stale version is not worth it to work that goes on with what it has read.
    """
    return run_once(lambda: _repeat(work, _has_lost_a_race, told))


def run_blindly(work: Callable[[], T], told: Told = _nobody) -> T:
    """At most five runs, the next one after any error that the driver calls operational.

    The rule of many retry decorators: deadlocks and time-outs are among these errors, and so is a
    connection that was lost, also when COMMIT had been sent on it.
    """
    return run_once(lambda: _repeat(work, _is_operational, told))


def _repeat(work: Callable[[], T], worth_it: Callable[[Exception], bool], told: Told) -> T:
    """Raises the last run's error.

    The pause doubles each time and is drawn between nothing and that bound: full jitter (Brooker,
    "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return work()
        except (DBAPIError, StaleVersion, Refused) as error:
            if not worth_it(error):
                raise
            told(_reason(error))
        time.sleep(random.uniform(0, FIRST_PAUSE_S * 2**attempt))  # noqa: S311 - jitter
    return work()


def _is_passing(error: Exception) -> bool:
    return isinstance(error, StaleVersion) or _sqlstate(error) in WORTH_REPEATING


def _has_lost_a_race(error: Exception) -> bool:
    return _sqlstate(error) in LOST_A_RACE


def _is_operational(error: Exception) -> bool:
    if isinstance(error, Refused):
        return error.problem is OUTCOME_UNKNOWN
    return isinstance(error, OperationalError | InterfaceError)


def _reason(error: Exception) -> str:
    """One of a few words."""
    if isinstance(error, StaleVersion):
        return "stale_version"
    known = {
        SERIALIZATION_FAILURE: "serialization_failure",
        DEADLOCK_DETECTED: "deadlock",
        CHECK_VIOLATION: "check_violation",
    }
    return known.get(_sqlstate(error) or "", "other")


def _sqlstate(error: Exception) -> str | None:
    return getattr(error.orig, "pgcode", None) if isinstance(error, DBAPIError) else None


class Retry:
    """What `retry` decides: what is run again, and whether a run begins anew.

    `blind` does no harm where the key is claimed with the money (`idempotency=claim`): the second
    run finds the first one's answer. `stale_values` does none where a write insists on the version
    that was read (`locking=version`), and seldom where rows stay locked from reading to COMMIT.
    """

    def __init__(self, defences: Defences, told: Told = _nobody) -> None:
        value = defences.retry
        self.goes_on = value == "stale_values"
        """The next run takes up what the one before has read and decided."""
        ways: dict[str, Callable[[Callable[[], Any], Told], Any]] = {
            "none": run_once,
            "stale_values": run_after_lost_races,
            "blind": run_blindly,
            "bounded": run_bounded,
        }
        self._way = ways[value]
        self._told = told

    def run(self, work: Callable[[], T]) -> T:
        result: T = self._way(work, self._told)
        return result


def _conflict() -> Refused:
    return Refused(VERSION_CONFLICT, "the wallet was changed by another request")
