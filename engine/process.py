"""The engine as an operating-system process of its own, which can be killed and started again."""

import json
import secrets
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import httpx

from engine.defences import Build
from engine.fork_server import ForkServerError
from engine.ownership import OwnedProcess, Workspace
from engine.passwords import Hashing
from engine.stores import ReservedPort

READY_WITHIN_S = 30.0
POLL_S = 0.01


Launch = Callable[[str, Mapping[str, str]], OwnedProcess]
"""Starts a process of this name with this added to its environment."""


@cache
def _trusted() -> ssl.SSLContext:
    """Read once: it takes longer than an engine needs to say that it is ready."""
    return httpx.create_ssl_context()


class EngineError(Exception):
    """One clear line: the engine did not start, and its own last words."""


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """What an engine process is started with."""

    build: Build
    database_url: str
    redis_url: str
    redis_namespace: str
    pool_size: int | None = None
    """None: the build's own."""
    workers: int = 1
    """Processes behind the port, each with connections of its own."""
    port: int | None = None
    """None: any free port, held for this engine from its first start to its stop."""
    reserved: ReservedPort | None = None
    """Instead of `port`: one that somebody else holds for this engine, and goes on holding."""
    host: str = "127.0.0.1"
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the engine by the names of their environment variables."""
    credential_hashing: Hashing = "least"
    """Its users are made up and gone with it; `full` for one that people use."""
    pin_pepper: str | None = field(default=None, repr=False)
    """For a database that will be served again; None: made up for this engine."""


class EngineProcess:
    """A running engine. It comes back on the same port, with the same secrets."""

    def __init__(self, launch: Launch, config: EngineConfig) -> None:
        self._launch = launch
        self._config = config
        self.jwt_secret = secrets.token_urlsafe(48)
        self._pin_pepper = config.pin_pepper or secrets.token_urlsafe(48)
        self.operator_password = secrets.token_urlsafe(18)
        self._own: ReservedPort | None = None
        self.port = config.reserved.port if config.reserved else config.port or 0
        if not self.port:
            self._own = _reserve_port()
            self.port = self._own.port
        self.base_url = f"http://{config.host}:{self.port}"
        self._process = self._spawn()

    def another(self) -> "EngineProcess":
        """One more process of the same service, with the same secrets, on a port of its own.

        It is not ready yet.
        """
        secrets_too = {
            **self._config.settings,
            "JWT_SECRET": self.jwt_secret,
            "OPERATOR_PASSWORD": self.operator_password,
        }
        config = replace(
            self._config,
            port=None,
            reserved=None,
            pin_pepper=self._pin_pepper,
            settings=secrets_too,
        )
        return EngineProcess(self._launch, config)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.alive

    def start(self) -> None:
        """Start again after `kill` or `stop`. Raises EngineError."""
        self._process = self._spawn()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return when it can move money. Raises EngineError with its last words when it cannot."""
        deadline_s = time.monotonic() + READY_WITHIN_S
        with httpx.Client(base_url=self.base_url, timeout=5, verify=_trusted()) as client:
            while time.monotonic() < deadline_s:
                if not self._process.alive:
                    break
                if _ready(client):
                    return
                time.sleep(POLL_S)
        last = self._process.tail(3).splitlines()
        words = " · ".join(map(in_words, last)) or "it wrote nothing"
        self.stop()
        if "address already in use" in words:
            words = f"{words}; choose another port"
        raise EngineError(
            f"the engine ({self._config.build.name}) did not get ready on port {self.port}: {words}"
        )

    def kill(self) -> None:
        self._process.kill()

    def pause(self) -> None:
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def stop(self) -> None:
        """A port of its own is let go: when it starts again, somebody else may have it."""
        self._process.stop()
        if self._own is not None:
            self._own.close()

    def exit_code(self, within_s: float) -> int | None:
        """None when it has not ended by then."""
        return self._process.wait(within_s)

    def wait(self) -> None:
        """Return when the process has ended by itself."""
        while self._process.wait(3600) is None:
            pass

    def log(self, lines: int = 20) -> str:
        return self._process.tail(lines)

    def _spawn(self) -> OwnedProcess:
        config = self._config
        environment = {
            **config.settings,
            "DATABASE_URL": config.database_url,
            "REDIS_URL": config.redis_url,
            "REDIS_NAMESPACE": config.redis_namespace,
            "ENGINE_BUILD": config.build.name,
            "ENGINE_HOST": config.host,
            "ENGINE_PORT": str(self.port),
            "ENGINE_WORKERS": str(config.workers),
            "ENGINE_PORT_RESERVED": str(int(config.port is None)),
            **({"ENGINE_POOL_SIZE": str(config.pool_size)} if config.pool_size else {}),
            "JWT_SECRET": self.jwt_secret,
            "PIN_PEPPER": self._pin_pepper,
            "OPERATOR_PASSWORD": self.operator_password,
            "CREDENTIAL_HASHING": config.credential_hashing,
            **config.settings,
        }
        try:
            return self._launch(f"engine-{self.port}", environment)
        except (ForkServerError, OSError) as error:
            raise EngineError(f"the engine cannot be started: {error}") from error


def _reserve_port() -> ReservedPort:
    try:
        return ReservedPort()
    except OSError as error:
        raise EngineError(f"the engine cannot be started: {error}") from error


def in_words(line: str) -> str:
    """A line of the engine's log for a person: of an error with its stack only what it says."""
    try:
        message = str(json.loads(line)["message"])
    except (ValueError, TypeError, KeyError):
        return line  # What was wrong before there was a log.
    lines = [text for text in message.splitlines() if text.strip()]
    said = [text for text in lines if not text.startswith(("(Background", " "))]
    return (said or lines or [line])[-1]


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/v1/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def launched_in(workspace: Workspace) -> Launch:
    """Starts an engine as anybody would: `python -m engine`."""
    command = [sys.executable, "-m", "engine"]
    return lambda name, env: workspace.start(name, command, env=env)


def start_engine(launch: Launch, config: EngineConfig) -> EngineProcess:
    """Start one and wait until it is ready. Raises EngineError."""
    engine = EngineProcess(launch, config)
    engine.wait_until_ready()
    return engine
