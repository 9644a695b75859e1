"""What went wrong: whether it passes by itself, and how it is told without what was asked."""

import traceback

from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engine.refusals import OUTCOME_UNKNOWN, Refused

PASSING_STATES = ("08", "53", "57", "55P03", "25P03", "25006")
"""How the SQLSTATE of trouble that passes begins: connection, resources, operator (statement
time-out, shutdown); lock time-out, idle in transaction, a server that became read-only."""
MOST_CAUSES = 20


def database_passes(error: BaseException) -> bool:
    """Whether it makes sense to ask the database again. Not the pool's own time-out."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "pgcode", None) or ""
    silent = not state and isinstance(error, OperationalError | InterfaceError)
    return silent or error.connection_invalidated or state.startswith(PASSING_STATES)


def passes(error: BaseException) -> bool:
    """Whether work that can be repeated without harm is worth another try."""
    if isinstance(error, Refused):
        return error.problem.retriable or error.problem is OUTCOME_UNKNOWN
    return isinstance(error, PoolTimeout | RedisError) or database_passes(error)


def without_values(error: BaseException) -> str:
    """What happened and where, in lines of code: its message quotes statements and values."""
    lines = traceback.format_tb(error.__traceback__)
    kinds: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(kinds) < MOST_CAUSES:
        state = getattr(cause, "pgcode", None)
        kinds.append(f"{type(cause).__qualname__}{f' ({state})' if state else ''}")
        cause = cause.__cause__
    return " from ".join(kinds) + "\n" + "".join(lines).rstrip()
