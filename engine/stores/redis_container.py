"""Redis in a container, on a fixed loopback port."""

import contextlib
import os

import redis

from engine.ownership import Workspace, poll
from engine.stores.container import run_container
from engine.stores.model import Choice, StoreError
from engine.stores.ports import LOOPBACK
from engine.stores.redis_embedded import server_info

SETTING = "ASSAY_REDIS_IMAGE"
DEFAULT_IMAGE = "redis:7-alpine"
READY_S = 30.0
STOP_S = 10.0
# Debian's redis-server answers its own container only, unless it is told otherwise.
COMMAND = ["redis-server", "--save", "", "--appendonly", "no"]
COMMAND += ["--bind", "0.0.0.0", "--protected-mode", "no"]  # noqa: S104 - published on loopback


def image() -> str:
    return os.environ.get(SETTING) or DEFAULT_IMAGE


class ContainerRedis:
    """See `RedisServer`. Raises StoreError when it cannot be started."""

    restartable = True
    host = LOOPBACK
    database = 0
    password: str | None = None

    def __init__(self, workspace: Workspace, choice: Choice) -> None:
        self.choice = choice
        self._container = run_container(workspace, image(), COMMAND, inner_port=6379, env={})
        self.port = self._container.port
        self._wait_until_ready()
        self.version = str(server_info(self.url)["redis_version"])

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/{self.database}"

    def kill(self) -> None:
        self._container.end("SIGKILL", STOP_S)

    def start(self) -> None:
        self._container.start()
        self._wait_until_ready()

    def pause(self) -> None:
        self._container.pause()

    def resume(self) -> None:
        self._container.resume()

    def close(self) -> None:
        self._container.remove()

    def _wait_until_ready(self) -> None:
        ready = False

        def decided() -> bool:
            nonlocal ready
            with contextlib.suppress(redis.RedisError):
                ready = bool(server_info(self.url))
            return ready or not self._container.is_running()

        poll(decided, READY_S)
        if not ready:
            last_line = self._container.last_line()
            self._container.remove()
            raise StoreError(
                f"Redis in a container of {image()} does not answer: "
                f"{last_line}; try another {SETTING}"
            )
