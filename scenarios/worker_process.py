"""A worker's life: it sets up a claim's race and tries the schedules that it is told."""

import os
import signal
from multiprocessing.connection import Connection

from attacks.history import Recorder
from attacks.postgres.explorer.exploring import Try
from engine.defences import parse_build
from scenarios.catalogue import claim_named
from scenarios.cell import begin
from scenarios.stand import open_lab, open_stand
from scenarios.workers import Failed, Post


def work(connection: Connection, post: Post) -> None:
    """A worker's life; it ends when its connection does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The one who hired it hears of Ctrl-C.
    os.environ["ASSAY_POSTGRES_URL"] = post.postgres_url
    os.environ["ASSAY_REDIS_URL"] = post.redis_url
    scenario = claim_named(post.claim)
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
                settings=scenario.settings,
                processes=scenario.processes,
            ) as lab,
        ):
            begin(lab)
            lab.explorer.serving = (post.race, lambda attempt: _answer(connection, attempt))
            scenario.attack(lab)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # noqa: BLE001 - told to the one who waits for an answer
        _tell(connection, Failed(reason=f"{type(error).__name__}: {error}"))


def _answer(connection: Connection, attempt: Try) -> None:
    """Try what comes until nothing comes any more."""
    while True:
        choose = connection.recv()
        connection.send(attempt(choose))


def _tell(connection: Connection, failed: Failed) -> None:
    try:
        connection.recv()
        connection.send(failed)
    except (EOFError, OSError):
        return
