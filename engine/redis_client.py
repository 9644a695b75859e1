"""Redis behind a policy: what one call may cost, and what an outage means (`redis_policy`).

Redis is an optimisation here: every caller says what to do without it. With the policy `required`
an error is the request's error all the same, as client defaults have it.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from engine.defences import DefenceError, Defences
from engine.settings import Settings

State = Literal["up", "away", "none"]
Command = Callable[["Redis"], Any]

COOL_DOWN_S = 0.5
"""Usual cool-down; an engine may be given another one by its settings."""


class RedisAccess(Protocol):
    """Runs a command, or answers with `otherwise` when Redis is not to be had."""

    @property
    def believed_up(self) -> bool:
        """Whether the next call asks Redis; says so without asking it."""

    def call(self, command: Command, otherwise: Any = None) -> Any: ...

    def state(self) -> State: ...


class NoRedis:
    """The engine runs without Redis."""

    believed_up = False

    def call(self, command: Command, otherwise: Any = None) -> Any:  # noqa: ARG002
        return otherwise

    def state(self) -> State:
        return "none"


class Required:
    """The client's own defaults; whatever it raises ends the request."""

    believed_up = True

    def __init__(self, client: "Redis") -> None:
        self._client = client

    def call(self, command: Command, otherwise: Any = None) -> Any:  # noqa: ARG002
        return command(self._client)

    def state(self) -> State:
        return _ping(self._client)


class Unbounded:
    """Errors are passed over, but the client's defaults decide how long each one takes."""

    believed_up = True

    def __init__(self, client: "Redis") -> None:
        self._client = client

    def call(self, command: Command, otherwise: Any = None) -> Any:
        try:
            return command(self._client)
        except RedisError:
            return otherwise

    def state(self) -> State:
        return _ping(self._client)


class Bounded:
    """A short time-out, no retries, and a circuit breaker.

    After a failure nobody asks Redis until the cool-down has passed. Then one caller tries, and
    before anything else it starts a new generation of keys: what was cached before the outage may
    be older than what was acknowledged during it.
    """

    def __init__(
        self, client: "Redis", on_return: Command, *, cool_down_s: float = COOL_DOWN_S
    ) -> None:
        self._client = client
        self._on_return = on_return
        self._cool_down_s = cool_down_s
        self._lock = threading.Lock()
        self._open_until_s = 0.0
        self._broken = False
        self._probing = False

    @property
    def believed_up(self) -> bool:
        return not self._broken

    def call(self, command: Command, otherwise: Any = None) -> Any:
        if self._broken and not self._returned():
            return otherwise
        try:
            return command(self._client)
        except RedisError:
            self._open()
            return otherwise

    def state(self) -> State:
        # Through the breaker, so that an engine whom nobody asks for money finds Redis again too.
        return "up" if self.call(lambda client: client.ping(), otherwise=False) else "away"

    def _open(self) -> None:
        with self._lock:
            self._broken = True
            self._open_until_s = time.monotonic() + self._cool_down_s

    def _returned(self) -> bool:
        """Whether Redis is back; at most one caller at a time finds out."""
        with self._lock:
            if not self._broken:
                return True
            if self._probing or time.monotonic() < self._open_until_s:
                return False
            self._probing = True
        try:
            self._on_return(self._client)
        except RedisError:
            self._open()
            return False
        else:
            with self._lock:
                self._broken = False
            return True
        finally:
            self._probing = False


def redis_access(settings: Settings, defences: Defences, on_return: Command) -> RedisAccess:
    """Connects when first used. Raises DefenceError for a URL that names no Redis, or for none
    where the policy requires it."""
    policy = defences.redis_policy
    if not settings.redis_url:
        if policy == "required":
            raise DefenceError(
                "redis_policy=required takes an error of Redis for the request's own, and here is "
                "no Redis at all: set REDIS_URL, or choose another value"
            )
        return NoRedis()
    try:
        if policy == "bounded":
            client = bounded_client(settings.redis_url, settings.redis_call_timeout_ms / 1000)
            return Bounded(client, on_return, cool_down_s=settings.redis_cool_down_ms / 1000)
        client = _default_client(settings.redis_url)
    except ValueError as error:
        raise DefenceError("REDIS_URL is no URL of Redis: write redis://host:6379/0") from error
    return Required(client) if policy == "required" else Unbounded(client)


def _default_client(url: str) -> "Redis":
    """As the client's documentation begins: host, port, and its defaults for everything else."""
    parts = urlsplit(url)
    return Redis(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 6379,
        db=int(parts.path.strip("/") or 0),
        password=parts.password,
        decode_responses=True,
    )


class _Lean(Redis):
    """Sends a command and reads its answer: no retries, and nothing told to any observer.

    That is as much work as the command itself, thousands of times a second.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._idle: list[Any] = []

    def execute_command(self, *args: Any, **options: Any) -> Any:
        connection = self._usable()
        try:
            connection.send_command(*args, check_health=False)
            return self.parse_response(connection, args[0], **options)  # type: ignore[no-untyped-call]
        except ResponseError:
            raise  # All of it was read.
        except BaseException:
            connection.disconnect()
            raise
        finally:
            self._idle.append(connection)  # One that failed has hung up, and connects again.

    def _usable(self) -> Any:
        """A connection on which nothing was said since it was last used, not even good-bye."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return self.connection_pool.make_connection()
        if connection.is_connected and _was_told(connection):
            connection.disconnect()
        return connection


def _was_told(connection: Any) -> bool:
    try:
        return bool(connection.can_read())
    except RedisError:
        return True  # It was a farewell.


def bounded_client(url: str, timeout_s: float) -> "Redis":
    """For the policy `bounded`: a call takes no longer than `timeout_s`. Raises ValueError."""
    return _Lean.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


def _ping(client: "Redis") -> State:
    try:
        return "up" if client.ping() else "away"
    except RedisError:
        return "away"
