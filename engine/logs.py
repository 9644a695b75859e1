"""The engine's log: a JSON object a line on standard error, with the id of the request it is about.

Whoever logs only puts a line into a queue; a thread writes it, so that no request waits for a disk.
Nothing of a request but its id, route, status and duration is ever logged: no header, no body.
"""

import logging
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from logging.handlers import QueueHandler, QueueListener

from pythonjsonlogger.json import JsonFormatter

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request under way; it follows the request into its thread."""
ACCESS = logging.getLogger("engine.access")
WRITTEN_WITHIN_S = 5.0
"""What is left at the end is written; a disk that takes longer has lost it."""
MOST_WAITING = 10_000
"""Lines that a slow disk may be behind; what comes then is dropped and counted."""


class _WithRequest(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if request_id := REQUEST_ID.get():
            record.request_id = request_id
        return True


class Waiting(QueueHandler):
    """Never waits itself."""

    def __init__(self, lines: "queue.Queue[logging.LogRecord]") -> None:
        super().__init__(lines)
        self.dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class Listener(QueueListener):
    """Also ends when the queue is full: what is in it is written first."""

    def enqueue_sentinel(self) -> None:
        self.queue.put(None, timeout=WRITTEN_WITHIN_S)  # type: ignore[attr-defined]


def json_lines() -> logging.Formatter:
    return JsonFormatter(
        "%(levelname)s %(name)s %(message)s %(process)d",
        rename_fields={"levelname": "level", "name": "logger", "process": "pid"},
        timestamp="time",
    )


def log_at_once() -> None:
    """For a process that has no threads and logs seldom."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_lines())
    _use(handler)


@contextmanager
def logging_queued(*, access: bool) -> Iterator[None]:
    """What was logged inside is written when this ends. `access`: also a line for each request."""
    lines: queue.Queue[logging.LogRecord] = queue.Queue(MOST_WAITING)
    waiting = Waiting(lines)
    waiting.setFormatter(json_lines())
    waiting.addFilter(_WithRequest())
    _use(waiting)
    ACCESS.setLevel(logging.INFO if access else logging.WARNING)
    listener = Listener(lines, logging.StreamHandler(sys.stderr))
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        if waiting.dropped:
            log_at_once()
            logging.getLogger("engine").warning("%s lines were dropped", waiting.dropped)


def _use(handler: logging.Handler) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
