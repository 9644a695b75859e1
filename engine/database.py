"""How the engine reaches PostgreSQL: URL, pool, time-outs, and where a session begins and ends."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session, sessionmaker

from engine.defences import DefenceError, Defences
from engine.metrics import WatchedPool
from engine.settings import Settings

OpenSession = Callable[[], AbstractContextManager[Session]]
"""Gives a session for the length of a `with` block; whatever was not committed is rolled back."""
Alone = Callable[[OpenSession], AbstractContextManager[sa.Connection]]
"""See `SessionScope.alone`."""

SYNCHRONOUS_COMMIT = {"sync": "-c synchronous_commit=on", "async": "-c synchronous_commit=off"}
DEAD_PEER = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A server that vanished without a word is noticed after about ten seconds."""


@dataclass(frozen=True, kw_only=True)
class Waits:
    """What bounds a request's waiting; by default nothing does."""

    engine_options: dict[str, Any] = field(default_factory=dict)
    deadline_s: float | None = None
    """After this long the client is told that the outcome is not known."""


def waits_of(defences: Defences, settings: Settings) -> Waits:
    commits = SYNCHRONOUS_COMMIT[defences.durability]
    if defences.timeouts == "off":
        return Waits(engine_options={"connect_args": {"options": commits}})
    # With the connection: no round trip of their own.
    options = (
        f"-c lock_timeout={settings.lock_timeout_ms} "
        f"-c statement_timeout={settings.statement_timeout_ms} "
        f"-c idle_in_transaction_session_timeout={settings.idle_in_transaction_timeout_ms} "
        f"{commits}"
    )
    connect = {"connect_timeout": settings.connect_timeout_s, "options": options, **DEAD_PEER}
    return Waits(
        engine_options={"pool_timeout": settings.pool_timeout_s, "connect_args": connect},
        deadline_s=settings.request_deadline_s,
    )


def sqlalchemy_url(url: str) -> str:
    """Name the driver: SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg2://" + url.removeprefix(scheme)
    return url


def create_engine(settings: Settings, waits: Waits, *, pool_size: int) -> sa.Engine:
    """Connects when first used; `pool_size` is for whoever was not told another one.

    Raises DefenceError for a URL that names no database.
    """
    options = {
        "pool_size": settings.engine_pool_size or pool_size,
        "max_overflow": 0,
        "poolclass": WatchedPool,
        **waits.engine_options,
    }
    try:
        return sa.create_engine(sqlalchemy_url(settings.database_url), **options)
    except ArgumentError as error:
        raise DefenceError(
            "DATABASE_URL is no URL of a database: write postgresql://user:password@host/database"
        ) from error


class SessionScope:
    """Where a request's session begins and ends (switch `session_scope`).

    `inline`: each use case opens one and returns the connection before the answer is sent.
    `dependency`: one session a request, opened by a yield dependency and closed after the answer.
    """

    def __init__(self, engine: sa.Engine, defences: Defences) -> None:
        self._engine = engine
        self._factory = sessionmaker(engine, expire_on_commit=False, autoflush=False)
        self.held_until_answered = defences.session_scope == "dependency"

    def new(self) -> Session:
        """A session that ends with its `with` block."""
        return self._factory()

    @contextmanager
    def alone(self, open_session: OpenSession) -> Iterator[sa.Connection]:
        """A connection on which nothing is under way, for a statement that commits itself.

        The request's own session's where that is held: a second one might have to be waited for.
        """
        if not self.held_until_answered:
            with self._engine.connect() as connection:
                yield connection
            return
        with open_session() as session:
            session.rollback()
            try:
                yield session.connection()
            finally:
                session.rollback()

    def held(self) -> Iterator[OpenSession]:
        """The yield dependency: every `with` block gets the same session."""
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
