"""Workers: processes that try schedules of the same race, each with a database of its own.

A worker sets up what the claim sets up, against the same servers, and then tries what it is told.
The search itself stays in one place (`attacks.postgres.explorer.working_off`).
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from attacks.postgres.explorer.exploring import Tried, Try
from attacks.postgres.explorer.run import Choose

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
class Failed:
    reason: str


Work = Callable[[Connection, Post], None]


def hiring(
    post: Post, count: int, work: Work
) -> Callable[[str], AbstractContextManager[Sequence[Try]]]:
    """What gives `count` workers for the race of a name; `work` is what each of them does.

    See `worker_process.work`.
    """
    return lambda race: _hire(replace(post, race=race), count, work)


@contextmanager
def _hire(post: Post, count: int, work: Work) -> Iterator[Sequence[Try]]:
    with ExitStack() as opened:
        yield tuple(opened.enter_context(_worker(post, work)) for _ in range(count))


@contextmanager
def _worker(post: Post, work: Work) -> Iterator[Try]:
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
        if isinstance(answer, Failed):
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
