"""A small real HTTP server whose every path is one way to answer, or not to."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RESET = struct.pack("ii", 1, 0)


class ScriptedServer(ThreadingHTTPServer):
    """Remembers the requests that came; `/slow` waits until the server is closed."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.closing = threading.Event()
        self.came: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.resetting: set[object] = set()

    def shutdown_request(self, request: Any) -> None:
        if request in self.resetting:
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            request.close()
        else:
            super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that resets its connection is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_HEAD(self) -> None:
        self._answer(404, b"")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.server.bodies.append(self.rfile.read(length))
        self.server.headers.append({k.lower(): v for k, v in self.headers.items()})
        self.server.came.append(self.path)
        ways: dict[str, Callable[[], None]] = {
            "/slow": self._never,
            "/reset": self._reset,
            "/hang-up": self._hang_up,
            "/zip": lambda: self._answer(200, b"no gzip", "gzip"),
            "/html": lambda: self._answer(200, b"<html>"),
            "/none": lambda: self._answer(200, b'{"amount": null}'),
        }
        way = ways.get(self.path)
        if way is None:
            self._answer(int(self.path.removeprefix("/")), b'{"amount": "1"}')
        else:
            way()

    def log_message(self, *words: object) -> None:
        """Quiet."""

    def _answer(self, status: int, body: bytes, encoding: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self.wfile.write(body)

    def _never(self) -> None:
        self.server.closing.wait(30)
        self.close_connection = True

    def _reset(self) -> None:
        self.server.resetting.add(self.connection)
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
