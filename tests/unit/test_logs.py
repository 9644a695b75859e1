"""A line is a JSON object with its request's id; nobody waits for the disk; people can read it."""

import io
import json
import logging
import queue
from collections.abc import Iterator
from logging.handlers import QueueListener
from typing import Any

import pytest

from engine import logs
from engine.logs import REQUEST_ID, Waiting, json_lines, logging_queued
from engine.process import in_words


@pytest.fixture(autouse=True)
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for name in ("uvicorn", "uvicorn.error"):
        # A server that another test ran in this process has made itself heard by other means.
        logger = logging.getLogger(name)
        logger.setLevel(logging.NOTSET)
        logger.propagate, logger.disabled = True, False
        logger.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def written(monkeypatch: pytest.MonkeyPatch, *, access: bool = False) -> list[dict[str, Any]]:
    """What a request, something beside any request, and the server itself leave."""
    standard_error = io.StringIO()
    monkeypatch.setattr("sys.stderr", standard_error)
    with logging_queued(access=access):
        token = REQUEST_ID.set("req-1")
        logging.getLogger("engine").warning("about %s", "a request")
        logging.getLogger("engine.access").info("GET /", extra={"status": 200})
        REQUEST_ID.reset(token)
        logging.getLogger("uvicorn.error").error("two\nlines")
        logging.getLogger("engine").info("too fine")
        logging.getLogger("engine").error("it failed", exc_info=ValueError("wrong"))
    return [json.loads(line) for line in standard_error.getvalue().splitlines()]


def test_every_line_is_an_object_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    about, server, failed = written(monkeypatch)
    assert about["message"] == "about a request"
    assert (about["level"], about["logger"]) == ("WARNING", "engine")
    assert {"time", "pid"} <= about.keys()
    assert server["message"] == "two\nlines"
    assert failed["message"] == "it failed"
    assert "ValueError: wrong" in failed["exc_info"]


def test_only_what_is_about_a_request_has_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    about, server, failed = written(monkeypatch)
    assert about["request_id"] == "req-1"
    assert "request_id" not in server
    assert "request_id" not in failed


def test_requests_have_lines_of_their_own_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = [x for x in written(monkeypatch, access=True) if x["logger"] == "engine.access"]
    assert [(line["request_id"], line["status"]) for line in access] == [("req-1", 200)]


def test_a_disk_that_is_too_slow_costs_lines_and_no_time() -> None:
    lines: queue.Queue[logging.LogRecord] = queue.Queue(2)
    waiting = Waiting(lines)
    record = logging.makeLogRecord({"msg": "x"})
    for _ in range(5):
        waiting.emit(record)
    assert (lines.qsize(), waiting.dropped) == (2, 3)


def test_what_waits_when_it_ends_is_written_and_what_was_dropped_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "MOST_WAITING", 3)
    monkeypatch.setattr(logs.Listener, "start", lambda _: None)  # A disk that takes nothing yet.
    stop, begin = logs.Listener.stop, QueueListener.start

    def stop_late(listener: logs.Listener) -> None:
        begin(listener)
        stop(listener)

    monkeypatch.setattr(logs.Listener, "stop", stop_late)
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    with logging_queued(access=False):
        for number in range(5):
            logging.getLogger("engine").warning("line %s", number)
    said = [json.loads(line)["message"] for line in file.getvalue().splitlines()]
    assert said == ["line 0", "line 1", "line 2", "2 lines were dropped"]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("worker 1 ended", "worker 1 ended"),
        ("Traceback (most recent call last):\n  File x\nDefenceError: no\n", "DefenceError: no"),
        ("Traceback:\n  File x\nError: away\n\n(Background on this error at: …)", "Error: away"),
    ],
)
def test_people_read_what_it_says(message: str, words: str) -> None:
    record = logging.makeLogRecord({"msg": message, "levelname": "ERROR"})
    assert in_words(json_lines().format(record)) == words


@pytest.mark.parametrize("line", ["engine: no such build", "[1]", "{}", '{"message"', ""])
def test_what_is_no_line_of_the_log_is_left_as_it_is(line: str) -> None:
    assert in_words(line) == line
