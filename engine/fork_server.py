"""Engines that begin with everything imported: forked from a process that did it once.

Four fifths of an engine's start are imports, and much of the rest is making models and routes. A
verification starts hundreds of engines, many only to see what is left after a `kill -9`, so each is
forked from a server that has done both once, and nothing else. The forked engine is a process of
its own in every other way: its own session, log, environment and death.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from engine.forked import live_and_end
from engine.ownership import OwnedProcess, Workspace

FORKED_WITHIN_S = 30.0
"""The first engine waits for the imports and the models."""
STATUS_UNKNOWN = 255
"""Only the parent, which is the server, learns how a forked process ended."""


class ForkServerError(Exception):
    """One clear line: the server did not fork, and its own last words."""


class ForkServer:
    """Starts engines in a workspace. Use from one thread. It ends with the workspace."""

    def __init__(self, workspace: Workspace) -> None:
        """Returns at once, and imports meanwhile."""
        self._workspace = workspace
        self._requests, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "engine.fork_server"]
            self._process = workspace.start("fork-server", command, stdin=theirs.fileno())
        self._requests.settimeout(FORKED_WITHIN_S)
        self._answers = self._requests.makefile("r")

    def start(self, name: str, env: Mapping[str, str]) -> OwnedProcess:
        """An engine with `env` added to the environment. Raises ForkServerError."""
        log = self._workspace.log_file(name)
        try:
            self._requests.sendall(json.dumps([dict(env), str(log)]).encode() + b"\n")
            answer = self._answers.readline()
        except TimeoutError as error:
            raise ForkServerError(
                f"the process that starts engines did not answer within {FORKED_WITHIN_S:g} s"
            ) from error
        except OSError:
            answer = ""
        if not answer:
            words = self._process.tail(1) or "it wrote nothing"
            raise ForkServerError(f"the process that starts engines has ended: {words}")
        return self._workspace.adopt(name, _Forked(int(answer)), log)


class _Forked:
    """A process that somebody else is the parent of, with the methods of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._process: psutil.Process | None = None
        with suppress(psutil.NoSuchProcess):  # It may have ended by now.
            self._process = psutil.Process(pid)

    def poll(self) -> int | None:
        with suppress(psutil.NoSuchProcess):
            if self._process is not None and self._process.status() != psutil.STATUS_ZOMBIE:
                return None
        return STATUS_UNKNOWN

    def wait(self, timeout: float | None = None) -> int:
        if self._process is not None:
            try:
                self._process.wait(timeout)
            except psutil.TimeoutExpired as error:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from error
        return STATUS_UNKNOWN

    def send_signal(self, number: int) -> None:
        with suppress(psutil.NoSuchProcess):
            if self._process is not None:
                self._process.send_signal(number)


def main(serve: Callable[[], int]) -> None:
    """Fork for each line on standard input, a socket, and answer with the process's id."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nobody has to collect the dead.
    # Not a copy of it: a forked process closes it with its standard input.
    with socket.socket(fileno=0) as connection, connection.makefile("r") as lines:
        for line in lines:
            env, log = json.loads(line)
            if (pid := os.fork()) == 0:
                live_and_end(partial(_become, serve, env, Path(log)))
            connection.sendall(f"{pid}\n".encode())


def _become(serve: Callable[[], int], env: Mapping[str, str], log: Path) -> int:
    """The exit code of the engine that this process is from now on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(env)
    return serve()


if __name__ == "__main__":
    from engine.__main__ import imported

    main(imported(warm=True))
