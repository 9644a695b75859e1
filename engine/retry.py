"""Running a unit of work again (switch `retry`)."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from engine.books.protocol import StaleVersion
from engine.defences import Defences
from engine.refusals import UNAVAILABLE, VERSION_CONFLICT, Refused

T = TypeVar("T")
Retry = Callable[[Callable[[], T]], T]

SERIALIZATION_FAILURE = "40001"
DEADLOCK_DETECTED = "40P01"
CHECK_VIOLATION = "23514"
"""A balance that went below zero under our feet: read again and decide, never guess."""
WORTH_REPEATING = frozenset({SERIALIZATION_FAILURE, DEADLOCK_DETECTED, CHECK_VIOLATION})

ATTEMPTS = 5
FIRST_PAUSE_S = 0.01


def run_once(work: Callable[[], T]) -> T:
    """No second try: a stale version is the client's to repeat, a deadlock is an error."""
    try:
        return work()
    except StaleVersion as error:
        raise _conflict() from error


def run_bounded(work: Callable[[], T]) -> T:
    """At most five runs of the whole unit of work, pausing with full jitter in between.

    The pause doubles each time and is drawn between nothing and that bound (Brooker, "Exponential
    Backoff And Jitter", AWS Architecture Blog, 2015). Raises Refused when no run succeeded.
    """
    for attempt in range(ATTEMPTS):
        refusal: Refused
        cause: Exception
        try:
            return work()
        except StaleVersion as error:
            refusal, cause = _conflict(), error
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) not in WORTH_REPEATING:
                raise
            refusal, cause = (
                Refused(UNAVAILABLE, "the wallets are too busy; nothing happened"),
                error,
            )
        if attempt == ATTEMPTS - 1:
            raise refusal from cause
        time.sleep(random.uniform(0, FIRST_PAUSE_S * 2**attempt))  # noqa: S311 - jitter
    raise AssertionError("unreachable: the last attempt returns or raises")


def retry_of(defences: Defences) -> Callable[[Callable[[], T]], T]:
    return run_bounded if defences.retry == "bounded" else run_once


def _conflict() -> Refused:
    return Refused(VERSION_CONFLICT, "the wallet was changed by another request")
