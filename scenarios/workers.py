"""Workers: processes that try schedules of the same race, each with a database of its own.

A worker sets up what the claim sets up, against the same servers, and then tries what it is told.
The search itself stays in one place (`attacks.postgres.explorer.working_off`).
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from attacks.history import Recorder
from attacks.postgres.explorer.exploring import Tried, Try
from attacks.postgres.explorer.run import Choose
from engine.defences import parse_build

END_S = 20.0


class WorkerError(Exception):
    """One clear line: a worker could not be started or broke off."""


@dataclass(frozen=True, kw_only=True)
class Post:
    """What a worker is to stand on."""

    build: str
    claim: str
    seed: str
    effort: float
    postgres_url: str
    redis_url: str
    race: str = ""


@dataclass(frozen=True, kw_only=True)
class _Failed:
    reason: str


def hiring(post: Post, count: int) -> Callable[[str], AbstractContextManager[Sequence[Try]]]:
    """What gives `count` workers for the race of a name."""
    return lambda race: _hire(replace(post, race=race), count)


@contextmanager
def _hire(post: Post, count: int) -> Iterator[Sequence[Try]]:
    with ExitStack() as opened:
        yield tuple(opened.enter_context(_worker(post)) for _ in range(count))


@contextmanager
def _worker(post: Post) -> Iterator[Try]:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, post), daemon=True)
    process.start()
    theirs.close()

    def attempt(choose: Choose) -> Tried:
        try:
            mine.send(choose)
            answer = mine.recv()
        except (EOFError, OSError) as error:
            raise WorkerError("a worker ended before it had answered") from error
        if isinstance(answer, _Failed):
            raise WorkerError(f"a worker broke off: {answer.reason}")
        assert isinstance(answer, Tried), "a worker answers with what it tried"
        return answer

    try:
        yield attempt
    finally:
        mine.close()
        process.join(END_S)
        if process.is_alive():
            process.kill()


def work(connection: Connection, post: Post) -> None:
    """A worker's life; it ends when its connection does."""
    # Only now: whoever starts no worker shall not load all of this twice.
    from scenarios.catalogue import select  # noqa: PLC0415
    from scenarios.cell import begin  # noqa: PLC0415
    from scenarios.stand import open_lab, open_stand  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The one who hired it hears of Ctrl-C.
    os.environ["ASSAY_POSTGRES_URL"] = post.postgres_url
    os.environ["ASSAY_REDIS_URL"] = post.redis_url
    (scenario,) = select((post.claim,))
    try:
        with (
            open_stand("external") as stand,
            open_lab(
                stand,
                parse_build(post.build),
                Recorder(),
                invariants=scenario.invariants,
                seed=post.seed,
                effort=post.effort,
            ) as lab,
        ):
            begin(lab)
            lab.explorer.serving = (post.race, lambda attempt: _answer(connection, attempt))
            scenario.attack(lab)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # noqa: BLE001 - told to the one who waits for an answer
        _tell(connection, _Failed(reason=f"{type(error).__name__}: {error}"))


def _answer(connection: Connection, attempt: Try) -> None:
    """Try what comes until nothing comes any more."""
    while True:
        choose = connection.recv()
        connection.send(attempt(choose))


def _tell(connection: Connection, failed: _Failed) -> None:
    try:
        connection.recv()
        connection.send(failed)
    except (EOFError, OSError):
        return
