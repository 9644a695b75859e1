"""Serving one build, configured by the environment, until the process is told to stop."""

import gc
import logging
import os
import secrets
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from pydantic_settings import SettingsError

from engine.app import create_app
from engine.defences import Build, DefenceError, parse_build
from engine.logs import log_at_once, logging_queued
from engine.metrics import forget_worker
from engine.one_write import OneWriteProtocol
from engine.ownership import MARK
from engine.settings import Settings
from engine.stores.ports import listening_socket
from engine.workers import Supervisor

LOG = logging.getLogger("engine")
SWITCH_S = 0.0005
"""So long a thread whose statement was answered waits for one that computes, for each statement.
Python's own 5 ms are a tenth of what a payment may take."""
NEW_OBJECTS_BEFORE_GC = 20_000
"""A request leaves hardly any circles behind: they need not be looked for during each of them."""
NOT_FINISHED = 1


def warm_up() -> None:
    """Make an application of either kind and drop it: what its models came to is kept.

    Connects to nothing and starts no thread.
    """
    for build in ("fragile", "hardened"):
        settings = Settings.model_construct(
            database_url="postgresql://nobody@127.0.0.1:1/nowhere",
            redis_url="redis://127.0.0.1:1/0",
            jwt_secret=secrets.token_urlsafe(48),
            pin_pepper=secrets.token_urlsafe(48),
        )
        create_app(settings, parse_build(build))


def serve() -> int:
    """The process's exit code: 2 and a line a mistake when the settings make no sense."""
    try:
        settings = Settings()  # type: ignore[call-arg]  # read from the environment
        build = parse_build(settings.engine_build)
        app = create_app(settings, build, started=_settle)
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0]).upper()
            sys.stderr.write(f"engine: {name}: {problem['msg']}\n")
        return 2
    except SettingsError as error:
        sys.stderr.write(f"engine: {error}: write a JSON list\n")
        return 2
    except DefenceError as error:
        sys.stderr.write(f"engine: {error}\n")
        return 2
    host, port = settings.engine_host, settings.engine_port
    try:
        bound = listening_socket(host, port, reserved=settings.engine_port_reserved)
    except OSError as error:
        sys.stderr.write(f"engine: {host}:{port}: {(error.strerror or str(error)).lower()}\n")
        return 1
    if settings.engine_workers == 1:
        return _serve_on(bound, settings, app)
    return _supervise(bound, settings, build)


def _supervise(bound: socket.socket, settings: Settings, build: Build) -> int:
    log_at_once()
    # In the folder of whoever owns this process, if somebody does: gone with it, however it ends.
    with tempfile.TemporaryDirectory(prefix="metrics-", dir=os.environ.get(MARK)) as folder:

        def work(number: int, ready: Callable[[], None]) -> int:
            def started() -> None:
                _settle()
                ready()

            mine = settings.model_copy(update={"engine_worker": number, "metrics_folder": folder})
            app = create_app(mine, build, started=started)
            return _serve_on(bound, mine, app, supervised=True)

        return Supervisor(
            work,
            settings.engine_workers,
            stopping=bound.close,
            died=lambda pid: forget_worker(folder, pid),
        ).run()


def _settle() -> None:
    """What is there when the engine has started stays: it is not looked through again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_BEFORE_GC)
    sys.setswitchinterval(SWITCH_S)


def _serve_on(
    bound: socket.socket, settings: Settings, app: FastAPI, *, supervised: bool = False
) -> int:
    config = uvicorn.Config(
        app,
        log_config=None,  # Its lines go where the engine's go.
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # Whoever asks is who is connected, whatever X-Forwarded-For says.
        ws="none",
        http=OneWriteProtocol,
    )
    server = Server(config, within_s=settings.shutdown_within_s, supervised=supervised)
    with logging_queued(access=settings.access_log):
        server.run(sockets=[bound])
    return 0 if server.started else 3


class Server(uvicorn.Server):
    """Ends gracefully at the first signal, and at once at the second or when that takes too long.

    Gracefully: nobody new is let in, requests and rows of batches under way are finished. A
    supervised one is ended at once by its supervisor alone: Ctrl-C and service managers signal
    every process of the engine, which the supervisor then does once more.
    """

    def __init__(self, config: uvicorn.Config, *, within_s: float, supervised: bool) -> None:
        super().__init__(config)
        self._within_s = within_s
        self._supervised = supervised

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.should_exit:
            if self._supervised:
                return
            os._exit(NOT_FINISHED)
        self.should_exit = True
        watch = threading.Timer(self._within_s, self._give_up)
        watch.daemon = True
        watch.start()

    def _give_up(self) -> None:
        LOG.error("not everything was finished within %s s: it ends unfinished", self._within_s)
        sys.stderr.flush()
        os._exit(NOT_FINISHED)
