"""Redis that somebody else runs: its URL is given; it is never flushed."""

import os
from urllib.parse import unquote, urlsplit

import redis

from engine.stores.model import Choice, StoreError
from engine.stores.redis_embedded import server_info

SETTING = "ASSAY_REDIS_URL"
DEFAULT_PORT = 6379


class ExternalRedis:
    """See `RedisServer`. Raises StoreError when it does not answer."""

    restartable = False

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.url = _given_url()
        parts = urlsplit(self.url)
        self.host = parts.hostname or "localhost"
        self.port = parts.port or DEFAULT_PORT
        self.database = int(parts.path.strip("/") or 0)
        self.password = unquote(parts.password) if parts.password else None
        try:
            self.version = str(server_info(self.url, timeout_s=5.0)["redis_version"])
        except redis.RedisError as error:
            raise StoreError(
                f"no Redis at {self.host}:{self.port} ({SETTING}): {error}; "
                "start it, correct the URL or unset it"
            ) from error

    def kill(self) -> None:
        raise self._not_ours("kill")

    def start(self) -> None:
        raise self._not_ours("start")

    def pause(self) -> None:
        raise self._not_ours("pause")

    def resume(self) -> None:
        raise self._not_ours("resume")

    def close(self) -> None:
        """Nothing to do: nothing was started."""

    def _not_ours(self, action: str) -> StoreError:
        return StoreError(
            f"Assay does not {action} the Redis at {self.host}:{self.port}: it did not start it; "
            "use --stores container or --stores embedded"
        )


def _given_url() -> str:
    url = os.environ.get(SETTING)
    if not url:
        raise StoreError(
            f"{SETTING} is not set; set it to redis://host:6379/0, "
            "or use --stores container or --stores embedded"
        )
    try:
        parts = urlsplit(url)
        readable = parts.scheme in {"redis", "rediss"} and parts.port != 0
        int(parts.path.strip("/") or 0)
    except ValueError:
        readable = False
    if not readable:
        raise StoreError(f"{SETTING} cannot be read as a URL; write redis://host:6379/0")
    return url
