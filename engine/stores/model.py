"""What the stores are to their users."""

from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["external", "container", "embedded"]


class StoreError(Exception):
    """One clear line: what is wrong, where, what to do."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which kind was taken, why, and what was passed over (a line each)."""

    kind: Kind
    reason: str
    skipped: tuple[str, ...] = ()


class PostgresServer(Protocol):
    """A running server. Every method raises StoreError."""

    @property
    def choice(self) -> Choice: ...

    @property
    def version(self) -> str:
        """Such as 18.4."""

    @property
    def restartable(self) -> bool:
        """Whether `restart`, `kill` and `start` are possible."""

    @property
    def admin_url(self) -> str:
        """A libpq URL of a role that may create databases."""

    def url(self, database: str, *, port: int | None = None) -> str:
        """The libpq URL of a database; with `port`, that of a proxy on 127.0.0.1 before it."""

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Create it and answer its URL; an existing name is refused."""

    def drop_database(self, name: str) -> None:
        """Drop a database that this object created, also when sessions are in it."""

    def restart(self) -> None:
        """A clean stop that ends all sessions, then a start: same port, same data."""

    def kill(self) -> None:
        """kill -9: everything not yet durable is lost."""

    def start(self) -> None:
        """Start again after `kill`, same port and data; returns when recovery is done."""

    def close(self) -> None:
        """Drop what was created (external) or stop and forget it. May be called again."""


class RedisServer(Protocol):
    """A running server. Every method raises StoreError."""

    @property
    def choice(self) -> Choice: ...

    @property
    def version(self) -> str: ...

    @property
    def restartable(self) -> bool:
        """Whether `kill`, `start`, `pause` and `resume` are possible."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def database(self) -> int: ...

    @property
    def password(self) -> str | None: ...

    @property
    def url(self) -> str: ...

    def kill(self) -> None:
        """kill -9."""

    def start(self) -> None:
        """Start again after `kill`: same port, empty (with a data folder: as last saved)."""

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""

    def resume(self) -> None: ...

    def close(self) -> None:
        """Stop it (an external one is left as it is). May be called again."""
