"""How the engine reaches PostgreSQL: URL, pool, time-outs, and where a session begins and ends."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from engine.defences import Defences
from engine.settings import Settings

OpenSession = Callable[[], AbstractContextManager[Session]]
"""Gives a session for the length of a `with` block; whatever was not committed is rolled back."""

BOUNDED_WAITS = (
    "-c lock_timeout=5000 -c statement_timeout=10000 -c idle_in_transaction_session_timeout=15000"
)


def sqlalchemy_url(url: str) -> str:
    """Name the driver: SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg2://" + url.removeprefix(scheme)
    return url


def create_engine(settings: Settings, defences: Defences) -> sa.Engine:
    options: dict[str, Any] = {"pool_size": settings.engine_pool_size, "max_overflow": 0}
    if defences.timeouts == "on":
        options["pool_timeout"] = 2
        options["connect_args"] = {"connect_timeout": 3, "options": BOUNDED_WAITS}
    return sa.create_engine(sqlalchemy_url(settings.database_url), **options)


class SessionScope:
    """Where a request's session begins and ends (switch `session_scope`).

    `inline`: each use case opens one and returns the connection before the answer is sent.
    `dependency`: one session a request, opened by a yield dependency and closed after the answer.
    """

    def __init__(self, engine: sa.Engine, defences: Defences) -> None:
        self._factory = sessionmaker(engine, expire_on_commit=False, autoflush=False)
        self._held_until_answered = defences.session_scope == "dependency"

    def new(self) -> Session:
        """A session outside any request."""
        return self._factory()

    def request(self) -> Iterator[OpenSession]:
        """The FastAPI dependency."""
        if not self._held_until_answered:
            yield self._factory
            return
        with self._factory() as session:
            yield lambda: _lent(session)


@contextmanager
def _lent(session: Session) -> Iterator[Session]:
    try:
        yield session
    except BaseException:
        session.rollback()
        raise
    # Read-only work leaves a transaction open here: the dependency's teardown ends it.
