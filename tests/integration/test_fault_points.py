"""A fault at a chosen statement: that it struck, what PostgreSQL says of it, and who breaks."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from attacks.postgres.explorer.choosing import serial
from attacks.postgres.explorer.forcing import Aim
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Run
from attacks.postgres.faults import (
    CONNECTION_RESET,
    REFUSED,
    REPLY_LATE,
    REPLY_LOST,
    RETRIABLE,
    Fault,
    fails_with,
    killed_after,
    killed_before,
    terminated,
)
from attacks.postgres.observer import Observer
from attacks.postgres.proxy import Proxy
from engine.defences import parse_build
from engine.ownership import Workspace
from engine.provision import Databases
from engine.stores import PostgresServer, RedisServer
from reports.evidence import Verdict
from scenarios.atomicity.acked_not_committed import SCENARIO as ACKED_NOT_COMMITTED
from scenarios.atomicity.blind_retry import SCENARIO as BLIND_RETRY
from scenarios.atomicity.partial_commit import SCENARIO as PARTIAL_COMMIT
from scenarios.cell import Observation, run_cell
from scenarios.concurrency.stale_retry import SCENARIO as STALE_RETRY
from scenarios.model import Scenario
from scenarios.stand import Stand
from scenarios.striking import Case

DATABASE = "fault_points"
UPDATE = "UPDATE coins SET value = value + 1 WHERE id = 1"
STATEMENTS = (UPDATE, "COMMIT")
AT_UPDATE, AT_COMMIT = range(len(STATEMENTS))
CLIENT_WAITS_S = 0.3
LOST, TOO_LATE = "connection lost", "no answer in time"


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a service's database transaction is struck."""

    track: RaceTrack
    url: str
    through_proxy: str

    def struck(self, fault: Fault, position: int) -> tuple[Run, list[str]]:
        """The run, and what the client heard of each statement."""
        heard: list[str] = []
        with closing(psycopg2.connect(self.through_proxy)) as connection:
            # psycopg2 sends the BEGIN with the first statement.
            run = self.track.force(
                [lambda: _transact(connection, heard)],
                serial((0,)),
                aim=Aim(position=position, fault=fault),
            )
        return run, heard

    @property
    def value(self) -> int:
        with closing(psycopg2.connect(self.url)) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT value FROM coins")
            ((value,),) = cursor.fetchall()
        return int(value)

    def fate(self, run: Run) -> str:
        assert run.struck is not None
        return "none" if run.struck.xid is None else self.track.observer.fate(run.struck.xid, 5.0)


def _transact(connection: psycopg2.extensions.connection, heard: list[str]) -> None:
    """Two statements; the client stops waiting after a while, and at the first error."""

    def work() -> None:
        try:
            for statement in STATEMENTS:
                cursor = connection.cursor()
                cursor.execute(statement)
                heard.append(str(cursor.statusmessage))
        except psycopg2.Error as error:
            heard.append(error.pgcode or LOST)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(CLIENT_WAITS_S)
    if thread.is_alive():
        heard.append(TOO_LATE)


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[str]:
    url = postgres.create_database(DATABASE)
    with closing(psycopg2.connect(url)) as connection:
        connection.cursor().execute("CREATE TABLE coins (id int PRIMARY KEY, value int)")
        connection.commit()
    yield url
    postgres.drop_database(DATABASE)


@pytest.fixture
def point(database: str, postgres: PostgresServer) -> Iterator[Point]:
    with closing(psycopg2.connect(database)) as connection:
        connection.cursor().execute("TRUNCATE coins; INSERT INTO coins VALUES (1, 100)")
        connection.commit()
    address = psycopg2.extensions.parse_dsn(database)
    with ExitStack() as opened:
        proxy = opened.enter_context(closing(Proxy(address["host"], int(address["port"]))))
        observer = opened.enter_context(closing(Observer(database)))
        yield Point(
            track=RaceTrack(proxy, observer),
            url=database,
            through_proxy=postgres.url(DATABASE, port=proxy.port),
        )


FAILURES = (*RETRIABLE, *REFUSED)
UNCHANGED, PAID = 100, 101
