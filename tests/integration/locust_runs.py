"""Locust as a user starts it, and a little service that answers whatever a test says."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

LOCUSTFILE = Path(__file__).parents[2] / "locustfile.py"
WITHIN_S = 100
HEADLESS = ("--headless", "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0")
Answer = Callable[[str, str, bytes], tuple[int, Any]]
"""Method, path and body in; status and JSON out. ConnectionAbortedError: not a word."""


def command_of(host: str, words: Sequence[str]) -> list[str]:
    base = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", host]
    return [*base, *HEADLESS, *words]


def environment_of(
    *, plan: Path | None = None, history: Path | None = None, **more: str
) -> dict[str, str]:
    given = {"ASSAY_LOAD_PLAN": plan, "ASSAY_LOAD_HISTORY": history}
    ours = {name: str(path) for name, path in given.items() if path is not None}
    others = {k: v for k, v in os.environ.items() if not k.startswith(("LOCUST_", "ASSAY_LOAD"))}
    return {**others, "PYTHONPATH": str(LOCUSTFILE.parent), **ours, **more}


def locust(
    host: str,
    *words: str,
    plan: Path | None = None,
    history: Path | None = None,
    preexec: Callable[[], None] | None = None,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """One headless load to its end; its output is all in `stdout`."""
    return subprocess.run(
        command_of(host, words),
        env=environment_of(plan=plan, history=history, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WITHIN_S,
        check=False,
        preexec_fn=preexec,
    )


def wait_for(what: Callable[[], bool], why: str) -> None:
    """Return when it is so; fail with `why` when it does not come to that."""
    deadline_s = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline_s:
        if what():
            return
        time.sleep(0.05)
    pytest.fail(why)


def plan_file(folder: Path, **more: Any) -> Path:
    """Three wallets of a service that asks for no token."""
    path = folder / "plan.json"
    wallets = [{"id": str(number), "token": None} for number in (1, 2, 3)]
    path.write_text(json.dumps({"money": "minor_units", "wallets": wallets, **more}))
    return path


@contextmanager
def service(answer: Answer) -> Iterator[str]:
    """The address of a service that answers so."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                status, document = answer(self.command, self.path, body)
            except ConnectionAbortedError:
                self.close_connection = True
                return
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - what http.server calls

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
