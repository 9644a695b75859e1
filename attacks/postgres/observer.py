"""Looks at the service's sessions from a connection of its own, past the proxy.

Each question is one short query of an autocommit session: it holds no lock when it has its answer.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

import psycopg2
from psycopg2 import errors

from attacks.postgres.catalog import Catalog, read_catalog
from attacks.postgres.purity import Purity
from attacks.postgres.reach import Columns, Reach, is_known, reach, row_key
from attacks.postgres.relations import (
    ONE_ADVISORY,
    UNRESOLVED,
    Access,
    Isolation,
    Locks,
    as_isolation,
)
from attacks.postgres.rows import RowKey

Fate = Literal["committed", "aborted", "in progress"]

POLL_S = 0.001
FIRST_USERS_OID = 16_384
"""Below are the system catalogs: FirstNormalObjectId in PostgreSQL's access/transam.h."""

# Undocumented, made for PostgreSQL's own isolation tests: also sees waits for a safe snapshot.
BLOCKED = "SELECT pg_isolation_test_session_is_blocked($1, $2)"
BLOCKED_BY_ANY = "SELECT pg_blocking_pids($1) && $2"
BLOCKERS = "SELECT pg_blocking_pids($1)"
LOCKS = """
SELECT DISTINCT CASE WHEN locktype = 'advisory' THEN concat_ws('/', classid, objid, objsubid) END,
  relation, mode
FROM pg_lock_status()
WHERE pid = $1 AND granted AND (locktype IN ('relation', 'advisory') OR mode = 'SIReadLock')
  AND (database = $2 OR database = 0)
"""
XID = """
SELECT backend_xid::text::int8, pg_snapshot_xmax(pg_current_snapshot())::text::int8
FROM pg_stat_get_activity($1)
"""
FATE = "SELECT pg_xact_status($1::text::xid8)"
PREPARED = {
    "assay_blocked_by_any": ("int, int[]", BLOCKED_BY_ANY),
    "assay_blockers": ("int", BLOCKERS),
    "assay_locks": ("int, oid", LOCKS),
    "assay_xid": ("int", XID),
    "assay_fate": ("int8", FATE),
}
# What a role has been given for this database beats what it has for all, and so on.
ROLE_SETTING = """
SELECT split_part(setting, '=', 2)
FROM pg_db_role_setting, unnest(setconfig) AS setting
WHERE setting LIKE 'default\\_transaction\\_isolation=%%'
  AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = %s))
ORDER BY setrole <> 0 DESC, setdatabase <> 0 DESC LIMIT 1
"""


class ObserverError(Exception):
    """One line: what could not be observed, and what is missing for it."""


class Observer:
    """One connection; may be used by several threads, one question at a time.

    It comes back by itself when the server was restarted.
    """

    def __init__(self, database_url: str) -> None:
        """Raises ObserverError when it is refused or not allowed to look."""
        self._database_url = database_url
        self._lock = threading.RLock()
        self._catalog: Catalog | None = None
        self._missing: set[str | int] = set()
        self._closed = False
        self._connect()

    def _connect(self) -> None:
        try:
            self._connection = psycopg2.connect(
                self._database_url, application_name="assay observer"
            )
        except psycopg2.OperationalError as error:
            raise ObserverError(f"cannot observe the database: {_first_line(error)}") from error
        self._connection.autocommit = True
        self._cursor = self._connection.cursor()
        try:
            self._prepare()
        except ObserverError:
            self._connection.close()
            raise

    def blocked(self, pid: int, pids: Sequence[int]) -> bool:
        """Whether the session waits for a lock that one of `pids` holds or asked for before."""
        array = "{" + ",".join(map(str, pids)) + "}"
        return bool(self._ask(f"EXECUTE {self._blocked} ({pid}, '{array}')")[0][0])

    def blockers(self, pid: int) -> tuple[int, ...]:
        """Sessions that hold, or asked before for, the lock that this one waits for."""
        return tuple(self._ask(f"EXECUTE assay_blockers ({pid})")[0][0])

    def locks(self, pid: int) -> Locks:
        """What the session holds: relations and advisory locks with their lock modes.

        Indexes, system catalogs and virtual transaction ids are left out. A sequence is always said
        to be held in RowExclusiveLock: who reads one sees what others did a moment ago.
        """
        rows = self._ask(f"EXECUTE assay_locks ({pid}, {self._database})")
        found = set()
        for advisory, oid, mode in rows:
            if advisory:
                found.add((f"{ONE_ADVISORY}{advisory}>", mode))
            elif oid >= FIRST_USERS_OID and (named := self._named(oid)):
                name, kind = named
                found.add((name, "RowExclusiveLock" if kind == "S" else mode))
        return frozenset(found)

    def xid(self, pid: int) -> int | None:
        """The session's transaction id with its epoch (xid8); None when it has written nothing."""
        rows = self._ask(f"EXECUTE assay_xid ({pid})")
        if not rows or rows[0][0] is None:
            return None
        narrow, latest = rows[0]
        # The nearest id to the latest with these 32 bits, before or after it.
        ahead = (narrow - latest + 2**31) % 2**32 - 2**31
        return int(latest + ahead)

    def fate(self, xid: int, within_s: float) -> Fate:
        """What became of a transaction; waits so long for one in progress to end.

        Raises ObserverError when PostgreSQL does not remember it.
        """
        until_s = time.monotonic() + within_s
        fate = self._fate(xid)
        while fate == "in progress" and time.monotonic() < until_s:
            time.sleep(POLL_S)  # Its end has no other sign to wait for.
            fate = self._fate(xid)
        return fate

    def terminate(self, pid: int) -> None:
        """End the session, as an administrator or a failover would."""
        self._ask("SELECT pg_terminate_backend(%s)", (pid,))

    def default_isolation(self, user: str | None = None) -> Isolation:
        """What a session gets that sets nothing: the observer's own, or another role's."""
        if user is not None:
            rows = self._ask(ROLE_SETTING, (user,))
            if rows:
                return as_isolation(rows[0][0])
            # Not what the observer itself was given: what the server's configuration says.
            rows = self._ask(
                "SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_isolation'"
            )
            return as_isolation(rows[0][0])
        return as_isolation(self._ask("SHOW default_transaction_isolation")[0][0])

    def deadlock_timeout_s(self) -> float:
        rows = self._ask("SELECT setting FROM pg_settings WHERE name = 'deadlock_timeout'")
        return int(rows[0][0]) / 1000

    def purity(self, function: str) -> Purity:
        """What a call of the function does to other sessions; "unknown" for users' functions."""
        found = self._catalogs().functions.get(function)
        if found is None and self._refreshed_for(function):
            found = self._catalogs().functions.get(function)
        return found or "unknown"

    def reach(self, relation: str, access: Access, columns: Columns = None) -> Reach:
        """What a statement on the relation may touch besides."""
        if not is_known(self._catalogs(), relation):
            self._refreshed_for(relation)
        return reach(self._catalogs(), relation, access, columns)

    def row_key(self, relation: str) -> RowKey | None:
        """How rows of this table are told apart; None where that cannot be said."""
        return row_key(self._catalogs(), relation)

    def refresh(self) -> None:
        """Read the catalogs anew, as after a migration."""
        with self._lock:
            self._catalog = None
            self._missing.clear()

    def close(self) -> None:
        self._closed = True
        with suppress(psycopg2.Error):
            self._connection.close()

    def _prepare(self) -> None:
        for name, (types, query) in PREPARED.items():
            self._ask(f"PREPARE {name} ({types}) AS {query}")
        for probe in ("assay_blockers (0)", "assay_locks (0, 0)", "assay_xid (0)"):
            # Privileges are looked at when a statement runs, not when it is prepared.
            self._ask(f"EXECUTE {probe}")
        self._database = self._ask(
            "SELECT oid::int8 FROM pg_database WHERE datname = current_database()"
        )[0][0]
        self._blocked = "assay_blocked"
        try:
            self._ask(f"PREPARE assay_blocked (int, int[]) AS {BLOCKED}")
            self._ask("EXECUTE assay_blocked (0, '{}')")
        except ObserverError:
            self._blocked = "assay_blocked_by_any"

    def _fate(self, xid: int) -> Fate:
        fate: Fate | None = self._ask(f"EXECUTE assay_fate ({xid})")[0][0]
        if fate is None:
            raise ObserverError(f"PostgreSQL does not remember transaction {xid} any more")
        return fate

    def _named(self, oid: int) -> tuple[str, str] | None:
        """Name and kind; None for an index, which its table stands for."""
        named = self._catalogs().names.get(oid)
        if named is None and self._refreshed_for(oid):
            named = self._catalogs().names.get(oid)
        if named is None and oid not in self._catalogs().indexes:
            return f"{UNRESOLVED}{oid}>", "?"
        return named

    def _catalogs(self) -> Catalog:
        with self._lock:
            if self._catalog is None:
                self._ask("SELECT 1")  # Comes back when the connection was lost.
                with _one_line_errors():
                    self._catalog = read_catalog(self._cursor)
            return self._catalog

    def _refreshed_for(self, name: str | int) -> bool:
        """Read the catalogs again for a name that is new to them, but once only."""
        with self._lock:
            if name in self._missing:
                return False
            self._missing.add(name)
            self._catalog = None
            return True

    def _ask(self, query: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._asked(query, values)
            except ObserverError:
                if self._closed or not self._connection.closed:
                    raise
            self._connect()
            return self._asked(query, values)

    def _asked(self, query: str, values: Sequence[Any] | None) -> list[tuple[Any, ...]]:
        with _one_line_errors():
            self._cursor.execute(query, values)
            return self._cursor.fetchall() if self._cursor.description else []


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except errors.InsufficientPrivilege as error:
        detail = (error.diag.message_detail or "").splitlines()
        reason = " ".join([_first_line(error), *detail])
        raise ObserverError(f"the observer's role lacks a privilege: {reason}") from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise ObserverError(f"the observer lost its connection: {_first_line(error)}") from error
    except psycopg2.Error as error:
        raise ObserverError(f"the observer's question failed: {_first_line(error)}") from error


def _first_line(error: psycopg2.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
