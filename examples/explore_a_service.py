"""Every order of two payments, forced on a service of one's own.

    python examples/explore_a_service.py [postgresql://user@host:port/an_empty_database]

Without a URL an embedded PostgreSQL is started. The service below stands for yours, which is a
process of its own in any language: all it has to do is reach its database through the proxy.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psycopg2
from psycopg2.extensions import make_dsn
from psycopg2.pool import ThreadedConnectionPool

from attacks.postgres.checkpoint import Checkpoint
from attacks.postgres.explorer.exploring import Exploration, Explored, Tried
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Choose
from attacks.postgres.observer import Observer
from attacks.postgres.proxy import Proxy
from engine.ownership import Workspace
from engine.stores import open_postgres

SCHEMA = """
CREATE TABLE account (holder text PRIMARY KEY, cents bigint NOT NULL);
INSERT INTO account VALUES ('ann', 100), ('bob', 0), ('cid', 0);
"""
IN_THE_SYSTEM = 100
POOL_SIZE = 2  # At least as many as requests that race.


@contextmanager
def service(database_url: str) -> Iterator[str]:
    """POST /racy or /right {"payee": …}: Ann pays all she has. Gives the base URL."""
    pool = ThreadedConnectionPool(POOL_SIZE, POOL_SIZE, database_url)

    class Payments(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            payee = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["payee"]
            read = "SELECT cents FROM account WHERE holder = 'ann'"
            lock = " FOR UPDATE" if self.path == "/right" else ""
            connection = pool.getconn()
            with connection, connection.cursor() as cursor:
                cursor.execute(read + lock)
                (cents,) = cursor.fetchone() or (0,)
                if cents:
                    cursor.execute("UPDATE account SET cents = 0 WHERE holder = 'ann'")
                    pay = "UPDATE account SET cents = cents + %s WHERE holder = %s"
                    cursor.execute(pay, (cents, payee))
            pool.putconn(connection)
            self.send_response(201 if cents else 409)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Payments)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        pool.closeall()


def explore(database_url: str, path: str) -> Explored:
    """Race two payments over this path in every order of their statements."""
    with ExitStack() as opened:
        reader = opened.enter_context(closing(psycopg2.connect(database_url)))
        reader.autocommit = True
        with reader.cursor() as cursor:
            cursor.execute(SCHEMA)
        opened.callback(_drop, reader)
        # 1. The proxy stands before the database, and the service's URL points at the proxy.
        proxy = opened.enter_context(closing(Proxy(reader.info.host, reader.info.port)))
        through = make_dsn(database_url, host=proxy.host, port=proxy.port, sslmode="disable")
        # 2. The observer looks past the proxy, from before the service connects.
        track = RaceTrack(proxy, opened.enter_context(closing(Observer(database_url))))
        base_url = opened.enter_context(service(through))
        # 3. The checkpoint brings the rows back.
        checkpoint = opened.enter_context(closing(Checkpoint(database_url)))
        # 4. What races: a function a request.
        client = opened.enter_context(httpx.Client(base_url=base_url))
        racers = [partial(client.post, path, json={"payee": payee}) for payee in ("bob", "cid")]

        # 5. One try: put back, force an order, judge what is in the database in the end.
        def attempt(choose: Choose) -> Tried:
            checkpoint.restore()
            run = track.force(racers, choose)
            with reader.cursor() as cursor:
                cursor.execute("SELECT sum(cents) FROM account")
                violated = not run.gave_up and cursor.fetchone() != (IN_THE_SYSTEM,)
            return Tried(run=run, violations=int(violated))

        return Exploration(attempt=attempt, racers=len(racers)).run()


def _drop(connection: psycopg2.extensions.connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE account")


def told(path: str, explored: Explored) -> str:
    """The verdict, and the SQL timeline that lost the money."""
    if explored.losing is None:
        if explored.vacuous:
            return f"{path}: unknown, {explored.vacuous}"
        how = "exhausted" if explored.exhausted else f"bounded ({'; '.join(explored.reasons)})"
        return f"{path}: held, {how}, {explored.explored} schedules"
    lines = [f"{path}: violated in {explored.violated} of {explored.explored} schedules"]
    for taken in explored.losing.run.taken:
        column = " " * 40 * taken.racer
        lines.append(f"  {'AB'[taken.racer]} {column}{taken.step.sql[:38]}")
    again, times = explored.reproduced or (0, 0)
    return "\n".join([*lines, f"  forced again, it was violated {again} of {times} times"])


def main() -> None:
    with ExitStack() as opened:
        if len(sys.argv) > 1:
            database_url = sys.argv[1]
        else:
            postgres = open_postgres("embedded", opened.enter_context(Workspace()))
            opened.callback(postgres.close)
            database_url = postgres.create_database("explored")
        for path in ("/racy", "/right"):
            sys.stdout.write(f"{told(path, explore(database_url, path))}\n")


if __name__ == "__main__":
    main()
