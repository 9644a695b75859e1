"""Starts the services of tests/services behind a proxy, and races requests to them."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import psycopg2
import pytest

from attacks.postgres.checkpoint import Checkpoint
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried
from attacks.postgres.explorer.forcing import Bounds
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Choose, Racer, Run
from attacks.postgres.observer import Observer
from attacks.postgres.proxy import Proxy
from engine.stores import PostgresServer, free_port

FOLDER = Path(__file__).parents[1] / "services"
SCHEMA = """
CREATE TABLE account (holder text PRIMARY KEY, cents bigint NOT NULL CHECK (cents >= 0));
CREATE TABLE journal (id bigint GENERATED ALWAYS AS IDENTITY, what text NOT NULL);
INSERT INTO account VALUES ('ann', 10000), ('bob', 0), ('cid', 0), ('dan', 0);
"""
IN_THE_SYSTEM = 10_000
READY_WITHIN_S = 20.0
ANSWER_WITHIN_S = 3.0
LINGER_S = 1.0
OPEN = """
SELECT pid, state, query FROM pg_stat_activity
WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()
"""

Judge = Callable[[psycopg2.extensions.cursor, Run], int]
"""The number of contradictions that it found after a run."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running one, and how its requests are raced."""

    base_url: str
    url: str
    """Of its database, past the proxy."""
    proxy: Proxy
    track: RaceTrack
    checkpoint: Checkpoint
    reader: psycopg2.extensions.connection
    clients: list[httpx.Client] = field(default_factory=list)

    def pays(self, path: str, payee: str, cents: int = 7000) -> Racer:
        body = {"payer": "ann", "payee": payee, "cents": cents}
        return self._sends("POST", path, json=body)

    def reads(self, path: str) -> Racer:
        return self._sends("GET", path)

    def two_payments(self, path: str, cents: int = 7000) -> list[Racer]:
        return [self.pays(path, payee, cents) for payee in ("bob", "cid")]

    def _sends(self, method: str, path: str, **more: object) -> Racer:
        """From a client of its own, which is connected already."""
        client = httpx.Client(base_url=self.base_url, timeout=ANSWER_WITHIN_S)
        self.clients.append(client)
        client.head("/")

        def send() -> object:
            answer = client.request(method, path, **more)  # type: ignore[arg-type]
            return answer.json() if answer.status_code == 200 else answer.status_code

        return send

    def attempt(self, racers: Sequence[Racer], judge: Judge, choose: Choose) -> Tried:
        self.checkpoint.restore()
        run = self.track.force(racers, choose)
        if run.gave_up:
            return Tried(run=run, violations=0)
        with self.reader.cursor() as cursor:
            return Tried(run=run, violations=judge(cursor, run))

    def explore(
        self, racers: Sequence[Racer], judge: Judge | None = None, *, budget: Budget | None = None
    ) -> Explored:
        attempt = partial(self.attempt, racers, judge or money_is_conserved)
        return Exploration(attempt=attempt, racers=len(racers), budget=budget or Budget()).run()

    def open_transactions(self) -> list[tuple[object, ...]]:
        """Those that stay: a session that was ended is listed for a moment longer."""
        until_s = time.monotonic() + LINGER_S
        with self.reader.cursor() as cursor:
            while True:
                cursor.execute(OPEN)
                found = cursor.fetchall()
                if not found or time.monotonic() > until_s:
                    return found


def money_is_conserved(cursor: psycopg2.extensions.cursor, run: Run) -> int:
    cursor.execute("SELECT sum(cents) FROM account")
    return int(cursor.fetchone() != (IN_THE_SYSTEM,))


@contextmanager
def money(postgres: PostgresServer, name: str) -> Iterator[str]:
    """A database with accounts."""
    url = postgres.create_database(name)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(SCHEMA)
        cursor.execute(f"ALTER DATABASE {name} SET deadlock_timeout = 1")
    yield url
    postgres.drop_database(name)


@contextmanager
def serving(
    postgres: PostgresServer,
    name: str,
    command: Sequence[str],
    *,
    database_url: Callable[[int], str] | None = None,
    bounds: Bounds | None = None,
    **environment: str,
) -> Iterator[Service]:
    """The service in a database of its own. `database_url` is given the proxy's port."""
    with ExitStack() as opened:
        url = opened.enter_context(money(postgres, name))
        parsed = psycopg2.extensions.parse_dsn(url)
        proxy = opened.enter_context(closing(Proxy(parsed["host"], int(parsed["port"]))))
        through = partial(_through, postgres, name)
        port = free_port()
        base_url = f"http://127.0.0.1:{port}"
        variables = {
            **os.environ,
            **environment,
            "DATABASE_URL": (database_url or through)(proxy.port),
            "PORT": str(port),
        }
        # Before the service: what its sessions begin with has to be seen.
        observer = opened.enter_context(closing(Observer(url)))
        probe = partial(answers_anybody, base_url)
        track = RaceTrack(proxy, observer, bounds=bounds, probe=probe)
        process = subprocess.Popen(
            command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        opened.callback(process.wait, 10)
        opened.callback(process.kill)
        _wait_until_ready(process, base_url)
        reader = opened.enter_context(closing(psycopg2.connect(url)))
        reader.autocommit = True
        service = Service(
            base_url=base_url,
            url=url,
            proxy=proxy,
            track=track,
            checkpoint=opened.enter_context(closing(Checkpoint(url))),
            reader=reader,
        )
        yield service
        for client in service.clients:
            client.close()


def python(file: str) -> list[str]:
    return [sys.executable, str(FOLDER / file)]


def answers_anybody(base_url: str) -> bool:
    try:
        httpx.head(base_url, timeout=1.0)
    except httpx.HTTPError:
        return False
    return True


def _through(postgres: PostgresServer, name: str, port: int) -> str:
    return postgres.url(name, port=port)


def _wait_until_ready(process: subprocess.Popen[bytes], base_url: str) -> None:
    until_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until_s and process.poll() is None:
        with suppress(httpx.HTTPError):
            httpx.head(base_url, timeout=1.0)
            return
        time.sleep(0.02)
    pytest.fail(f"the service did not come up (exit status {process.poll()})")


def racing_threads() -> list[str]:
    """Threads of racers that are alive."""
    return [t.name for t in threading.enumerate() if "_race" in t.name]
