"""What the processes and the sessions of PostgreSQL are at, now and then while a load goes on."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
import psycopg2
import psycopg2.extensions

from reports.load import Samples
from scenarios.process_family import Used, used_by_family

OFTEN_S = 1.0
SAMPLES = 120
"""Of a long load: to look through all processes takes time that is the load's."""
PERCENT = 100
ENGINE = "engine"
SESSIONS = """
SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'),
       (SELECT count(*) FROM pg_locks WHERE NOT granted),
       count(*),
       count(*) FILTER (WHERE state <> 'idle')
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND backend_type = 'client backend' AND application_name NOT LIKE 'assay%'
"""
NOTHING_SEEN = (None, None, None, None)
POSTGRES = "PostgreSQL"
Pid = Callable[[], int | None]
"""None when there is no such process on this machine, or not now."""
Counts = tuple[int | None, int | None, int | None, int | None]


@dataclass(kw_only=True)
class Sample:
    at_s: float
    sessions: Counts
    cpu_percent: Mapping[str, float | None]
    engine_mb: float | None


@dataclass(kw_only=True)
class Sampler:
    """In a thread of its own, until `stop`."""

    database_url: str
    pids: Mapping[str, Pid]
    """The head of each family of processes, by the name that it is shown with."""
    postgres_is_here: bool
    """PostgreSQL's processes are on this machine, under the numbers that it says."""
    since_clock_s: Callable[[], float]
    every_s: float = OFTEN_S
    _taken: list[Sample] = field(default_factory=list)
    _before: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    """Of each family: the head, its processor time, and when that was looked up."""
    problem: str = ""
    """Why it gave up."""
    _connection: psycopg2.extensions.connection | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="sampling")
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def samples(self) -> Samples:
        taken = tuple(self._taken)
        lock_waits, not_granted, connections, at_work = (
            tuple(sample.sessions[place] for sample in taken) for place in range(4)
        )
        return Samples(
            at_s=tuple(sample.at_s for sample in taken),
            lock_waits=lock_waits,
            locks_not_granted=not_granted,
            connections=connections,
            at_work=at_work,
            cpu_percent={
                name: tuple(sample.cpu_percent.get(name) for sample in taken)
                for name in (*self.pids, POSTGRES)
            },
            engine_mb=tuple(sample.engine_mb for sample in taken),
        )

    def _run(self) -> None:
        try:
            while not self._over.wait(self.every_s):
                self._taken.append(self._sample())
        except Exception as error:  # noqa: BLE001 - figures that stop have to be said
            self.problem = f"processes and sessions were not looked at to the end: {error!r}"
        finally:
            self._disconnect()

    def _sample(self) -> Sample:
        sessions = self._sessions()
        used = {name: (self._head(name), time.monotonic()) for name in (*self.pids, POSTGRES)}
        families = {
            name: (pid, at_s, None if pid is None else used_by_family(pid))
            for name, (pid, at_s) in used.items()
        }
        engine = families[ENGINE][2]
        return Sample(
            at_s=round(self.since_clock_s(), 2),
            sessions=sessions,
            cpu_percent={name: self._percent(name, *found) for name, found in families.items()},
            engine_mb=None if engine is None else round(engine.memory_mb, 1),
        )

    def _head(self, name: str) -> int | None:
        if name == POSTGRES:
            return self._postmaster() if self.postgres_is_here else None
        known = self._before.get(name)
        # Asking who it is may take a connection: only when it is another one.
        return known[0] if known and psutil.pid_exists(known[0]) else self.pids[name]()

    def _postmaster(self) -> int | None:
        """All sessions are its children."""
        if self._connection is None:
            return None
        try:
            return psutil.Process(self._connection.info.backend_pid).ppid()
        except psutil.Error:
            return None

    def _percent(self, name: str, pid: int | None, at_s: float, used: Used | None) -> float | None:
        before = self._before.pop(name, None)
        if pid is None or used is None:
            return None
        self._before[name] = (pid, used.cpu_s, at_s)
        if before is None or before[0] != pid:
            return None
        # Processes that came and went between two looks may take their time with them.
        return round(max(0.0, PERCENT * (used.cpu_s - before[1]) / (at_s - before[2])), 1)

    def _sessions(self) -> Counts:
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(self.database_url, connect_timeout=2)
                self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute(SESSIONS)
                waiting, not_granted, connections, at_work = cursor.fetchone() or NOTHING_SEEN
        except psycopg2.Error:
            self._disconnect()
            return NOTHING_SEEN
        return waiting, not_granted, connections, at_work

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None
