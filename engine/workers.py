"""Several processes of one engine behind one port: started, watched, replaced and ended together.

They share one listening socket, which the supervisor binds and each of them accepts from: a worker
that dies takes no connection with it that waits to be accepted. The supervisor serves nobody. It
ends when all workers have, and they end at once when it is gone, however it ended: they hold the
reading end of a pipe whose writing end only the supervisor has.
"""

import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from engine.forked import live_and_end

LOG = logging.getLogger("engine")
START_UP_FAILED = (2, 3)
"""Exit codes after which another try would end the same way."""
MOST_DEATHS = 5
WITHIN_S = 10.0
"""So many workers that die in this time end the engine: something else is wrong."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)

Work = Callable[[int, Callable[[], None]], int]
"""Serves as the worker with this number until SIGTERM, and answers with the exit code.

To call what it is given when it could serve: that returns when all of them can.
"""


@dataclass(frozen=True, kw_only=True)
class Pipe:
    reading: int
    writing: int

    @classmethod
    def opened(cls) -> "Pipe":
        reading, writing = os.pipe()
        return cls(reading=reading, writing=writing)


class Supervisor:
    """Use once, in the main thread of a process without others."""

    def __init__(
        self,
        work: Work,
        workers: int,
        *,
        stopping: Callable[[], None],
        died: Callable[[int], None],
    ) -> None:
        """`stopping` is called when the engine is told to end: to stop listening. `died` is told
        the process id of every worker that ended."""
        self._died = died
        self._work = work
        self._workers = workers
        self._stopping = stopping
        self._numbers: dict[int, int] = {}
        """By process id."""
        self._life = Pipe.opened()
        self._go = Pipe.opened()
        self._gone = False
        self._told = 0
        self._status = 0
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)

    def run(self) -> int:
        """The engine's exit code, when the last worker has ended."""
        before = {number: signal.signal(number, self._told_to_end) for number in SIGNALS}
        try:
            # The first one alone: what a start does to the database is done when others come.
            ready = all(self._is_ready(self._start(number)) for number in range(self._workers))
            if ready:
                self._let_go()
            while self._numbers:
                self._collect(*os.waitpid(-1, 0))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._status

    def _start(self, number: int) -> int:
        """Where the new worker says that it is ready."""
        said = Pipe.opened()
        # Not between the fork and the note of it: nobody would end that worker.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            if (pid := os.fork()) == 0:
                live_and_end(lambda: self._become(number, said))
            self._numbers[pid] = number
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(said.writing)
        if self._told:
            os.kill(pid, signal.SIGTERM)
        return said.reading

    def _is_ready(self, said: int) -> bool:
        """Wait for its word. It is not ready when it ends without one, or all are to end."""
        try:
            return os.read(said, 1) != b"" and not self._told
        finally:
            os.close(said)

    def _let_go(self) -> None:
        if not self._gone:
            self._gone = True
            os.close(self._go.writing)

    def _become(self, number: int, said: Pipe) -> int:
        """The exit code of the worker that this process is from now on."""
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(self._life.writing)
        if not self._gone:
            os.close(self._go.writing)
        watch = threading.Thread(target=self._end_with_supervisor, daemon=True)
        watch.start()
        return self._work(number, lambda: self._wait_for_all(said))

    def _end_with_supervisor(self) -> None:
        os.read(self._life.reading, 1)
        os._exit(1)

    def _wait_for_all(self, said: Pipe) -> None:
        os.write(said.writing, b"r")
        os.close(said.writing)
        os.read(self._go.reading, 1)

    def _collect(self, pid: int, status: int) -> None:
        number = self._numbers.pop(pid, None)
        code = os.waitstatus_to_exitcode(status)
        self._died(pid)
        if number is None or (self._told and code == 0):
            return
        if self._told or code in START_UP_FAILED:
            self._end(code)
            return
        if not self._gone:
            LOG.error(
                "worker %s ended with %s before it could serve: the engine ends", number, code
            )
            self._end(code)
            return
        LOG.error("worker %s ended with %s; another takes its place", number, code)
        self._deaths.append(time.monotonic())
        if len(self._deaths) == MOST_DEATHS and self._deaths[-1] - self._deaths[0] < WITHIN_S:
            LOG.error("%s workers ended within %s s: the engine ends", MOST_DEATHS, WITHIN_S)
            self._end(1)
            return
        os.close(self._start(number))

    def _end(self, code: int) -> None:
        """Because of one worker all of them end; the first code is the engine's."""
        self._status = self._status or (code if code > 0 else 1)
        if not self._told:
            self._tell(signal.SIGTERM)

    def _told_to_end(self, _signal: int, _frame: FrameType | None) -> None:
        """Again: at once."""
        self._tell(signal.SIGKILL if self._told else signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        self._told += 1
        self._stopping()
        self._let_go()
        for pid in tuple(self._numbers):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
