"""Lanes: where the cells of a run are run, one after the other, on stores of their own.

One lane is this process. Several are processes that a cell is handed to whenever one is free: a
cell mostly waits, so several at once take little longer than one.
"""

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, NoReturn, Protocol, TypeVar

from engine.defences import Build, parse_build
from engine.ownership import WorkspaceError, sweep
from engine.stores import StoreError
from reports.evidence import Cell, Environment
from scenarios.catalogue import claim_named
from scenarios.cell_record import Terms, record_cell
from scenarios.evidence import environment_of
from scenarios.model import Scenario
from scenarios.stand import Stand, open_stand

END_S = 30.0
"""What closing the stores of a lane may take."""

Answer = TypeVar("Answer")


class LaneError(Exception):
    """A lane ended before it had answered; one clear line."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a lane stands on."""

    environment: Environment
    isolation_level: str

    @classmethod
    def of(cls, stand: Stand) -> "Ground":
        return cls(environment=environment_of(stand), isolation_level=stand.isolation_level)


Began = Callable[[Scenario, Build], None]


class Lanes(Protocol):
    @property
    def ground(self) -> Ground: ...

    def run(
        self, terms: Terms, cells: Sequence[tuple[Scenario, Build]], began: Began
    ) -> Iterator[Cell]:
        """Each cell, as it is done. Call once. Raises what stopped a lane."""


@contextmanager
def open_lanes(stores: str, count: int) -> Iterator[Lanes]:
    """Raises StoreError or WorkspaceError; LaneError for a lane that died."""
    if count == 1:
        with open_stand(stores) as stand:
            yield _Here(stand)
        return
    lanes = [_Lane(stores) for _ in range(count)]
    try:
        grounds = [lane.hear(Ground) for lane in lanes]
        yield _There(lanes, grounds[0])
    except BaseException:
        for lane in lanes:
            lane.process.terminate()
        raise
    finally:
        for lane in lanes:
            lane.connection.close()
        for lane in lanes:
            lane.wait_for_end()
        if any(lane.process.exitcode for lane in lanes):
            sweep()  # Of what one left that had to be killed.


class _Here:
    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self.ground = Ground.of(stand)

    def run(
        self, terms: Terms, cells: Sequence[tuple[Scenario, Build]], began: Began
    ) -> Iterator[Cell]:
        for scenario, build in cells:
            began(scenario, build)
            yield record_cell(terms, self._stand, scenario, build)


class _Lane:
    """The other end of `drive`."""

    def __init__(self, stores: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # No daemon: a lane hires workers of its own.
        self.process = context.Process(target=drive, args=(theirs, stores))
        self.process.start()
        theirs.close()

    def hear(self, kind: type[Answer]) -> Answer:
        """Raises what the lane could not do, LaneError when it died."""
        try:
            answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise LaneError("a process that runs claims ended before it was done") from error
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, kind), f"no lane answers {answer!r}"
        return answer

    def wait_for_end(self) -> None:
        self.process.join(END_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class _There:
    def __init__(self, lanes: Sequence[_Lane], ground: Ground) -> None:
        self._lanes = lanes
        self.ground = ground

    def run(
        self, terms: Terms, cells: Sequence[tuple[Scenario, Build]], began: Began
    ) -> Iterator[Cell]:
        waiting = deque(cells)
        busy: dict[Any, _Lane] = {}

        def hand_on(lane: _Lane) -> None:
            if waiting:
                scenario, build = waiting.popleft()
                began(scenario, build)
                lane.connection.send((scenario.name, build.name))
                busy[lane.connection] = lane

        for lane in self._lanes:
            lane.connection.send(terms)
            hand_on(lane)
        while busy:
            for ready in wait(list(busy)):
                lane = busy.pop(ready)
                cell = lane.hear(Cell)
                hand_on(lane)
                yield cell


class _Ended(BaseException):
    """Whoever opened this lane wants it to end."""


def drive(connection: Connection, stores: str) -> None:
    """A lane's life: it ends with its connection, or with SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The one who opened it hears of Ctrl-C.
    signal.signal(signal.SIGTERM, _end_now)
    with suppress(_Ended):
        _run_what_comes(connection, stores)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _run_what_comes(connection: Connection, stores: str) -> None:
    try:
        with open_stand(stores) as stand:
            connection.send(Ground.of(stand))
            terms = connection.recv()
            while True:
                claim, build = connection.recv()
                connection.send(record_cell(terms, stand, claim_named(claim), parse_build(build)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except (StoreError, WorkspaceError, OSError) as error:
        _tell(connection, error)
    except Exception as error:  # noqa: BLE001 - told to the one who waits for an answer
        _tell(connection, LaneError(f"{type(error).__name__}: {error}"))


def _end_now(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    # What still runs beside loses what it works with, and has nothing to tell.
    threading.excepthook = lambda _: None
    raise _Ended


def _tell(connection: Connection, error: Exception) -> None:
    with suppress(OSError):  # Nobody is left to hear of it.
        connection.send(error)
