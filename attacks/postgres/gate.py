"""How a proxy asks what is to become of each step, and the orders that it understands."""

from dataclasses import dataclass
from typing import Protocol

from attacks.postgres.trace import Reply, SessionInfo, Step


@dataclass(frozen=True, kw_only=True)
class Forward:
    """Pass the step on."""


@dataclass(frozen=True, kw_only=True)
class Fail:
    """Let the database itself fail with this SQLSTATE in the step's place.

    The step is not executed; a database transaction that was open is in state E afterwards, and the
    client sees one ErrorResponse as PostgreSQL would send it.
    """

    sqlstate: str


@dataclass(frozen=True, kw_only=True)
class Reset:
    """Reset the client's connection (RST) and close the one to the database.

    In answer to `arrived`: the database never sees the step. In answer to `replied`: it has
    executed it, and its reply is thrown away.
    """


@dataclass(frozen=True, kw_only=True)
class Relay:
    """Pass the reply on."""


ForwardOrder = Forward | Fail | Reset
RelayOrder = Relay | Reset


class Gate(Protocol):
    """Asked by the proxy, in the thread of the session concerned. Each call may block.

    `arrived` comes before a step is forwarded, `replied` when its reply is complete and none of its
    last part (from the command tag on) has been relayed. `opened` comes when a session is ready for
    its first step, `closed` when either side has gone; a `closed` ends every wait of that session.
    """

    def opened(self, session: SessionInfo) -> None: ...

    def arrived(self, session: SessionInfo, step: Step) -> ForwardOrder: ...

    def replied(self, session: SessionInfo, step: Step, reply: Reply) -> RelayOrder: ...

    def closed(self, session: SessionInfo) -> None: ...
