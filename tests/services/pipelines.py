"""The standard library's threading server over psycopg 3, its writes in one pipeline."""

import json
import os
import queue
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg


class RefusedError(Exception):
    """The payer has not enough money."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pool: "queue.LifoQueue[psycopg.Connection]"

    def do_HEAD(self) -> None:
        self._answer(200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        lock = " FOR UPDATE" if self.path == "/pay/right" else ""
        connection = self.pool.get()
        try:
            with connection.transaction():
                left = _pay(connection, body, lock)
            self._answer(200, {"left": left})
        except RefusedError:
            self._answer(409, {"error": "not enough money"})
        finally:
            self.pool.put(connection)

    def _answer(self, status: int, value: dict[str, object]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is inherited
        """Quiet."""


def _pay(connection: psycopg.Connection, body: dict[str, object], lock: str) -> int:
    sql = f"SELECT cents FROM account WHERE holder = %s{lock}"
    row = connection.execute(sql, (body["payer"],)).fetchone()
    assert row is not None
    left: int = row[0] - body["cents"]
    if left < 0:
        raise RefusedError
    with connection.pipeline():
        connection.execute("UPDATE account SET cents = %s WHERE holder = %s", (left, body["payer"]))
        connection.execute(
            "UPDATE account SET cents = cents + %s WHERE holder = %s",
            (body["cents"], body["payee"]),
        )
    return left


if __name__ == "__main__":
    Handler.pool = queue.LifoQueue()
    for _ in range(4):
        Handler.pool.put(psycopg.connect(os.environ["DATABASE_URL"], autocommit=True))
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
