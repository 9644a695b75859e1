"""A fault at a chosen statement: that it struck, what PostgreSQL says of it, and who breaks."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from attacks.postgres.explorer.choosing import serial
from attacks.postgres.explorer.forcing import Aim
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Racer, Run
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
from engine.stores import PostgresServer
from reports.evidence import Verdict
from scenarios.atomicity.acked_not_committed import SCENARIO as ACKED_NOT_COMMITTED
from scenarios.atomicity.blind_retry import SCENARIO as BLIND_RETRY
from scenarios.atomicity.partial_commit import SCENARIO as PARTIAL_COMMIT
from scenarios.cell import Observation, run_cell
from scenarios.concurrency.stale_retry import SCENARIO as STALE_RETRY
from scenarios.model import Scenario
from scenarios.stand import Stand

pytestmark = pytest.mark.slow

DATABASE = "fault_points"
UPDATE = "UPDATE coins SET value = value + 1 WHERE id = 1"
STATEMENTS = (UPDATE, "COMMIT")
AT_UPDATE, AT_COMMIT = range(len(STATEMENTS))
LOST, TOO_LATE = "connection lost", "no answer in time"


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a service's database transaction is struck."""

    track: RaceTrack
    url: str
    through_proxy: str

    def struck(
        self, fault: Fault, position: int, *, client_waits_s: float = 60.0
    ) -> tuple[Run, list[str]]:
        """The run, and what the client heard of each statement."""
        heard: list[str] = []
        with closing(psycopg2.connect(self.through_proxy)) as connection:
            run = self.forced(lambda: _transact(connection, heard, client_waits_s), fault, position)
        return run, heard

    def forced(self, racer: Racer, fault: Fault, position: int) -> Run:
        return self.track.force([racer], serial((0,)), aim=Aim(position=position, fault=fault))

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


def _transact(
    connection: psycopg2.extensions.connection, heard: list[str], client_waits_s: float
) -> None:
    """Two statements; ends at the first error. The client waits so long for the second."""
    first_answered = threading.Event()

    def work() -> None:
        try:
            for statement in STATEMENTS:
                cursor = connection.cursor()
                cursor.execute(statement)
                heard.append(str(cursor.statusmessage))
                first_answered.set()
        except psycopg2.Error as error:
            heard.append(error.pgcode or LOST)
            with suppress(psycopg2.Error):
                connection.rollback()
            first_answered.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    first_answered.wait()
    thread.join(client_waits_s)
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


FATAL = "53300"
"""Ends the session: psycopg2 does not say why."""
ERRORS = tuple(code for code in (*RETRIABLE, *REFUSED) if code != FATAL)
BEFORE, AFTER = 100, 101
"""The coin's value without the payment and with it."""


@pytest.mark.parametrize(
    ("fault", "position", "heard", "fate", "value"),
    [
        (CONNECTION_RESET, AT_UPDATE, [LOST], "none", BEFORE),
        (CONNECTION_RESET, AT_COMMIT, ["UPDATE 1", LOST], "aborted", BEFORE),
        (REPLY_LOST, AT_UPDATE, [LOST], "none", BEFORE),
        (REPLY_LOST, AT_COMMIT, ["UPDATE 1", LOST], "committed", AFTER),
        *[(fails_with(code), AT_UPDATE, [code], "none", BEFORE) for code in ERRORS],
        *[(fails_with(code), AT_COMMIT, ["UPDATE 1", code], "aborted", BEFORE) for code in ERRORS],
        (fails_with(FATAL), AT_UPDATE, [LOST], "none", BEFORE),
        (fails_with(FATAL), AT_COMMIT, ["UPDATE 1", LOST], "aborted", BEFORE),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_what_the_client_hears_and_what_the_database_says(  # noqa: PLR0917 - a table
    point: Point, fault: Fault, position: int, heard: list[str], fate: str, value: int
) -> None:
    run, seen = point.struck(fault, position)
    assert run.struck is not None
    assert (run.struck.position, run.struck.fault) == (position, fault.name)
    assert run.struck.step.sql == STATEMENTS[position]
    assert seen == heard
    assert point.fate(run) == fate
    assert point.value == value
    assert not run.unfinished


def test_an_administrator_ends_the_backend(point: Point) -> None:
    run, heard = point.struck(terminated(point.track.observer.terminate), AT_COMMIT)
    assert heard[0] == "UPDATE 1"
    assert heard[1] in ("57P01", LOST)
    assert point.fate(run) == "aborted"
    assert point.value == BEFORE


def test_an_answer_later_than_the_client_waits(point: Point) -> None:
    run, heard = point.struck(REPLY_LATE, AT_COMMIT, client_waits_s=1.0)
    assert heard[:2] == ["UPDATE 1", TOO_LATE]
    assert point.fate(run) == "committed"
    assert point.value == AFTER


def test_a_point_that_is_not_there_is_not_struck(point: Point) -> None:
    run, heard = point.struck(REPLY_LOST, len(STATEMENTS))
    assert run.struck is None
    assert heard == ["UPDATE 1", "COMMIT"]
    assert point.value == AFTER


SERVICE = f"""
import sys, psycopg2
connection = psycopg2.connect(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for statement in {STATEMENTS!r}:
    connection.cursor().execute(statement)
print("paid", flush=True)
"""


@pytest.mark.parametrize(
    ("fault", "position", "fate", "value"),
    [
        (killed_before, AT_UPDATE, "none", BEFORE),
        (killed_before, AT_COMMIT, "aborted", BEFORE),
        (killed_after, AT_UPDATE, "none", BEFORE),
        (killed_after, AT_COMMIT, "committed", AFTER),
    ],
)
def test_a_service_that_is_killed(
    point: Point, fault: Callable[[Callable[[], None]], Fault], position: int, fate: str, value: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE, point.through_proxy],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"
        run = point.forced(lambda: service.communicate("go\n"), fault(service.kill), position)
    assert service.returncode == -signal.SIGKILL
    assert run.results == (("", None),)
    assert point.fate(run) == fate
    assert point.value == value


def _run(stand: Stand, scenario: Scenario, build: str, folder: Path) -> Observation:
    return run_cell(
        stand,
        scenario,
        parse_build(build),
        seed=1,
        effort=0.3,
        history_file=folder / "history.jsonl",
    )


@pytest.mark.parametrize(
    ("scenario", "build", "verdict"),
    [
        (STALE_RETRY, "hardened", Verdict.HELD),
        (STALE_RETRY, "hardened,retry=stale_values", Verdict.VIOLATED),
        (BLIND_RETRY, "hardened", Verdict.HELD),
        (BLIND_RETRY, "hardened,retry=blind,idempotency=off", Verdict.VIOLATED),
        (ACKED_NOT_COMMITTED, "hardened", Verdict.HELD),
        (ACKED_NOT_COMMITTED, "hardened,unit_of_work=swallow_then_commit", Verdict.VIOLATED),
        (PARTIAL_COMMIT, "hardened,unit_of_work=per_step", Verdict.VIOLATED),
    ],
    ids=lambda value: value.name if isinstance(value, Scenario) else str(value),
)
def test_claims_both_ways(
    stand: Stand, tmp_path: Path, scenario: Scenario, build: str, verdict: Verdict
) -> None:
    seen = _run(stand, scenario, build, tmp_path)
    assert seen.judgement.verdict is verdict, seen.judgement.cause
    (series,) = seen.series
    assert series.vacuous is None
    assert series.points > 2
    violated = [bool(case.outcome.findings) for case in series.cases]
    assert violated == [False] * (len(violated) - 1) + [verdict is Verdict.VIOLATED]
    if verdict is Verdict.HELD:
        assert {case.point for case in series.cases} == set(range(1, series.points + 1))


def test_a_service_that_dies_at_any_statement_comes_back(stand: Stand, tmp_path: Path) -> None:
    seen = _run(stand, PARTIAL_COMMIT, "hardened", tmp_path)
    assert seen.judgement.verdict is Verdict.HELD, seen.judgement.cause
    (series,) = seen.series
    assert series.vacuous is None
    assert all(case.struck for case in series.cases)
    assert {case.fault for case in series.cases} == set(series.faults)
    for case in series.cases:
        assert case.restarted == case.fault.startswith("service killed"), case.fault
    fates = {(case.fault, case.point): case.fate for case in series.cases}
    last = series.points
    assert fates["reply lost", last] == fates["service killed after", last] == "committed"
    for fault in ("connection reset before", "service killed before", "backend terminated before"):
        assert fates[fault, last] == "aborted"
    assert "committed" not in [fate for (_, at), fate in fates.items() if at < last]
