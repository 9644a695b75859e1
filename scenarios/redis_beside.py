"""Redis beside the database while requests race: what they touch there, and how it is forgotten."""

from functools import reduce
from typing import Protocol

from redis import Redis

from attacks.postgres.footprint import OUTSIDE, Footprint, nothing, together
from attacks.postgres.relations import ONE_OUTSIDE
from attacks.redis.commands import Seen
from attacks.redis.link import Link
from engine.stores import RedisServer


class Commands(Protocol):
    """Those that the service has sent: see `attacks.redis.link.Link`."""

    @property
    def requests(self) -> int: ...

    def commands_since(self, requests: int) -> tuple[Seen, ...]: ...


class Outside:
    """What the service did in Redis since it was asked before."""

    def __init__(self, link: Commands) -> None:
        self._link = link
        self._seen = link.requests

    def __call__(self) -> Footprint:
        since, self._seen = self._seen, self._link.requests
        if since == self._seen:
            return nothing()
        return reduce(together, map(_of_command, self._link.commands_since(since)), nothing())


def _of_command(command: Seen) -> Footprint:
    if command.keys is None:
        return Footprint(writes=frozenset({OUTSIDE}))
    names = frozenset(f"{ONE_OUTSIDE}{key} in Redis>" for key in command.keys)
    return Footprint(writes=names) if command.changes else Footprint(reads=names)


class RedisMemory:
    """What the service keeps in Redis: forgotten between schedules, nothing of anybody else's."""

    def __init__(self, redis: RedisServer, link: Link, namespace: str) -> None:
        self._client = Redis.from_url(redis.url, socket_timeout=5)
        self._link = link
        self._pattern = f"{namespace}*"
        self._seen = -1

    def forget(self) -> None:
        if self._link.requests == self._seen:
            return  # Nothing was asked of Redis since.
        if keys := self._client.keys(self._pattern):
            self._client.delete(*keys)
        self._seen = self._link.requests

    def close(self) -> None:
        self._client.close()
