"""Why a request is neither at the proxy nor answered, in one line that names what to change.

Facts first: what the proxy heard, how many sessions there are and how many are in use, and whether
the service answers anybody at all just now.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from attacks.postgres.proxy import Proxy

NOTHING_CAME = (
    "no statement of the requests came through the proxy: point the service's database URL at it"
)
LEFT_OPEN = (
    "a request left a database transaction open after its answer: commit or roll back before"
    " answering"
)
OF_ITS_OWN = (
    "the service sent statements of its own beside the requests, or after their answers: let it"
    " finish before it answers, and switch its background jobs off for the test"
)
AT_ONCE = (
    "statements came in two sessions at the same time: the service works beside its requests, in an"
    " order that is not controlled; switch its background jobs off for the test"
)
SLOW = (
    "a statement did not end within the bound of the race: it waits for something that is no lock;"
    " make it shorter for the test"
)
STRANGER = (
    "a statement waits for a lock of a session that is not in the race: end what else uses the"
    " database"
)
CIRCLE = (
    "requests wait for each other, one for a lock in the database and one for something in the"
    " service's own process"
)
BLOCKED = (
    "the service does not answer anybody while one of its statements waits: an async service with a"
    " blocking driver; use its async driver, or sync endpoints"
)
OWN_PROCESS = (
    "a request waits for something in the service's own process (a lock of its own, another"
    " service), which serialises it"
)


def too_many_steps(most: int) -> str:
    return f"a request made more than {most} statements: it retries for ever; bound its retries"


def pool_too_small(connections: int, requests: int) -> str:
    """A pool that opens connections on demand looks like one that is full, hence the last part.

    A request may use more than one connection, so as many as requests can be too few.
    """
    have = f"{connections} connections" if connections > 1 else "1 connection"
    each = "each is" if connections > 1 else "it is"
    enough = max(requests, connections + 1)
    return (
        f"the service has {have} to its database and {each} in use by another request: make its"
        f" pool at least {enough} (if it is, a lock of its own makes requests wait)"
    )


@dataclass(kw_only=True)
class Diagnosis:
    """Asks around when a request is out of sight."""

    proxy: Proxy
    probe: Callable[[], bool] | None = None
    """Whether the service answers a trivial request within a bound of the probe's own."""
    _deaf: bool = field(default=False)

    def out_of_sight(self, *, busy: int, requests: int) -> str:
        """`busy`: sessions with a step under way or a transaction open; `requests`: that race."""
        sessions = len(self.proxy.sessions())
        if not sessions:
            return self.nothing_came()
        if not self._answers():
            return BLOCKED
        return pool_too_small(sessions, requests) if busy >= sessions else OWN_PROCESS

    def nothing_came(self) -> str:
        """No session, or no statement: perhaps because the proxy refused what it was asked."""
        if self.proxy.sessions():
            return NOTHING_CAME
        return next(iter(reversed(self.proxy.problems)), NOTHING_CAME)

    def _answers(self) -> bool:
        """Who was deaf once is not asked again: each question costs the probe's bound."""
        if self.probe is not None and not self._deaf:
            self._deaf = not self.probe()
        return not self._deaf
