"""A session beside the service's: holds a lock, sees who waits for it, ends sessions.

It asks PostgreSQL who is blocked and never guesses with sleeps.
"""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import psycopg2

POLL_S = 0.002

BLOCKED_BY_ME = """
SELECT pid FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND %s = ANY(pg_blocking_pids(pid))
"""


class SideSessionError(Exception):
    """One clear line: what the side session could not do."""


class SideSession:
    """Two connections of our own: one holds locks, the other looks. A context manager."""

    def __init__(self, url: str) -> None:
        try:
            self._holder = psycopg2.connect(url)
            try:
                self._observer = psycopg2.connect(url)
            except psycopg2.OperationalError:
                self._holder.close()
                raise
        except psycopg2.OperationalError as error:
            reason = str(error).strip().splitlines()[0]
            raise SideSessionError(
                f"no side session on the service's database: {reason}"
            ) from error
        self._observer.autocommit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The backend of the session that holds."""
        return int(self._holder.info.backend_pid)

    def hold(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement and keep its locks until `release`."""
        with self._holder.cursor() as cursor:
            cursor.execute(sql, parameters)

    def release(self) -> None:
        self._holder.rollback()

    def wait_for_waiter(self, deadline_s: float = 5.0) -> int | None:
        """The backend pid of a session that waits for our locks; None when none comes in time."""
        until_s = time.monotonic() + deadline_s
        mine = self._holder.info.backend_pid
        while time.monotonic() < until_s:
            with self._observer.cursor() as cursor:
                cursor.execute(BLOCKED_BY_ME, (mine,))
                row = cursor.fetchone()
            if row:
                return int(row[0])
            time.sleep(POLL_S)
        return None

    def wait_for_waiters(self, count: int, deadline_s: float = 5.0) -> bool:
        """Whether that many sessions wait for our locks at one moment.

        Who waits for a row behind another waiter waits for that one, and is not counted.
        """
        until_s = time.monotonic() + deadline_s
        mine = self._holder.info.backend_pid
        while time.monotonic() < until_s:
            with self._observer.cursor() as cursor:
                cursor.execute(BLOCKED_BY_ME, (mine,))
                if cursor.rowcount >= count:
                    return True
            time.sleep(POLL_S)
        return False

    def end_session(self, pid: int) -> None:
        """Cut one of the service's sessions, as an administrator or a failover would."""
        with self._observer.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    def close(self) -> None:
        self._holder.close()
        self._observer.close()
