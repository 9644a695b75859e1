"""What was seen on the wire between a service and its database: plain values.

A *step* is the unit that is parked and released: one statement as its client sent it. Values are
text as PostgreSQL prints them; None is NULL.
"""

from dataclasses import dataclass, field
from typing import Literal

TransactionStatus = Literal["I", "T", "E"]
"""As ReadyForQuery says it: idle, in a database transaction, in a failed one."""

Kind = Literal["query", "execute", "sync", "prepare", "copy", "call"]
"""Simple query; Execute of the extended protocol; a Sync that ends a pipeline's implicit database
transaction; messages that execute nothing (Parse, Describe, Close); COPY data; FunctionCall."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One statement on its way to the database."""

    session: int
    """Number of the proxied connection, from 1."""
    number: int
    """Counts the steps of this session, from 1."""
    kind: Kind
    sql: str
    """The statement's text, also where the wire only carried a prepared name; "" for a Sync."""
    parameters: tuple[str | None, ...] = ()
    status_before: TransactionStatus = "I"
    ends_with_sync: bool = True
    """False for a part of a pipeline: its effects stay open until the Sync."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the database answered to one step."""

    tag: str | None = None
    """The last command tag, such as "UPDATE 1"; None when there was none (an error, a Parse)."""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    """The first rows, at most `ROWS_KEPT`, values at most `CHARACTERS_KEPT` characters long."""
    row_count: int = 0
    """All rows that were returned."""
    sqlstate: str | None = None
    message: str = ""
    status: TransactionStatus | None = None
    """None when the step was not followed by ReadyForQuery, or the connection was lost."""
    lost: bool = False
    """The database closed the connection before it had answered."""


ROWS_KEPT = 20
CHARACTERS_KEPT = 200


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A step and its reply as they passed; times are seconds of `time.monotonic()`."""

    step: Step
    reply: Reply
    arrived_s: float
    """The step was complete at the proxy."""
    forwarded_s: float
    replied_s: float
    """The reply was complete at the proxy."""
    relayed_s: float


@dataclass(frozen=True, kw_only=True)
class SessionInfo:
    """A proxied connection, as its start-up messages say."""

    number: int
    pid: int | None = None
    """The backend's process id (BackendKeyData); None until it has been sent."""
    user: str = ""
    database: str = ""
    application_name: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    """Everything else of the start-up message, such as options or isolation defaults."""
