"""What can go wrong at one statement: each fault is a value with a name and two moments.

`before` is asked when the statement waits at the proxy, `after` when its reply does. The faults
that need a hand on something else (the service's process, the backend) are given it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from attacks.postgres.gate import Fail, Forward, ForwardOrder, Relay, RelayOrder, Reset
from attacks.postgres.trace import SessionInfo

RETRIABLE = ("40001", "40P01")
"""Serialisation failure and deadlock: the database asks for the transaction to be run again."""
REFUSED = ("55P03", "57014", "53300")
"""Lock not available, query cancelled, too many connections."""


def _forward(_: SessionInfo) -> ForwardOrder:
    return Forward()


def _relay(_: SessionInfo) -> RelayOrder:
    return Relay()


def _reset(_: SessionInfo) -> Reset:
    return Reset()


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong at a statement."""

    name: str
    """As it is read in a table: "connection reset before", …"""
    before: Callable[[SessionInfo], ForwardOrder] = _forward
    after: Callable[[SessionInfo], RelayOrder] = _relay
    late: bool = False
    """The reply is kept until the request has its answer without it."""


CONNECTION_RESET = Fault(name="connection reset before", before=_reset, after=_reset)
"""The database never sees the statement."""
REPLY_LOST = Fault(name="reply lost", after=_reset)
"""The database has executed it, and the service is not told: at a COMMIT, the lost answer."""
REPLY_LATE = Fault(name="reply later than the client waits", late=True)


def fails_with(sqlstate: str) -> Fault:
    """The database itself fails with this SQLSTATE in the statement's place."""
    return Fault(name=f"fails with {sqlstate}", before=lambda _: Fail(sqlstate=sqlstate))


def killed_before(kill: Callable[[], None]) -> Fault:
    """The service's process dies; the database never sees the statement."""

    def strike(_: SessionInfo) -> Reset:
        kill()
        return Reset()

    return Fault(name="service killed before", before=strike, after=_reset)


def killed_after(kill: Callable[[], None]) -> Fault:
    """The database has executed it; the service's process dies before it knows."""

    def strike(_: SessionInfo) -> Reset:
        kill()
        return Reset()

    return Fault(name="service killed after", after=strike)


def terminated(terminate: Callable[[int], None]) -> Fault:
    """An administrator ends the backend (SQLSTATE 57P01) while the statement is on its way."""

    def strike(session: SessionInfo) -> ForwardOrder:
        if session.pid is not None:
            terminate(session.pid)
        return Forward()

    return Fault(name="backend terminated before", before=strike)
