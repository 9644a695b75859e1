"""Invariants so far: what can be said of a load that is still going on, every few seconds.

A step reads the lines that were added to the histories and after that, in one snapshot, the rows
that came into the database. So whatever is acknowledged in a line that was read was committed
before the snapshot, and has to be in the next one. What is not answered yet may be in it or not:
only what no answer can put right any more is called a violation. Which rows are new is told by what
the last snapshot saw (PostgreSQL's transaction ids), never by ids or timestamps, which are given
before the commit. Rows that are deleted later on are left to the audit at the end.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

import duckdb
import psycopg2
import psycopg2.extensions

from scenarios.scale import balances, ledger, live_tables
from scenarios.scale.findings import Found
from scenarios.scale.ground_truth import PostgresTruth, begin_snapshot, load_truth
from scenarios.scale.histories import stage
from scenarios.scale.live_tables import NEW_LINES
from scenarios.scale.store import ArchiveError, Store, one_line, open_store, scratch
from scenarios.targets.truth_queries import ScaleTarget, TruthQueries

CONNECT_WITHIN_S = 3
TOLD_WITHIN_S = 15.0
"""A request is in a line of its history within so long: its client gave up waiting long before."""
NAME = "assay live audit"
"""How it appears among the sessions of the database."""


@dataclass(frozen=True, kw_only=True)
class SoFar:
    """What the load has come to at this step."""

    acknowledged: int
    """Payments, each counted once however often it was sent."""
    checked: int
    """Operations that were held against the database: those read before the last step."""
    violations: tuple[str, ...]
    """Causes, the first of each kind. Once seen they stay."""
    lasted_s: float
    """How long this step took."""
    trouble: str = ""
    """Why this step could not look at the database; a later one looks at all of it."""


class LiveAudit:
    """Looks at a load from beside it. For one thread; to be closed."""

    def __init__(
        self, database_url: str, target: ScaleTarget, folder: Path, *, place: Path
    ) -> None:
        """`folder` has the histories (*.jsonl), or will have; in `place` it keeps what it has read.

        Raises ArchiveError.
        """
        self._url, self._target, self._folder = database_url, target, folder
        self._opened = ExitStack()
        self._place = self._opened.enter_context(scratch(place, "live"))
        self._store: Store = self._opened.enter_context(open_store(self._place))
        self._offsets: dict[Path, int] = {}
        self._last = self._read = self._judged = self._checked = 0
        self._began_s: list[float] = []
        """When each step began; steps count from 1."""
        self._asked_until = 0
        """The last step whose records were held against the requests."""
        self._since: str | None = None
        self._connection: psycopg2.extensions.connection | None = None
        self._violations: dict[str, str] = {}
        live_tables.create(self._store)

    def __enter__(self) -> "LiveAudit":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._opened.close()

    def step(self, *, at_rest: bool = False) -> SoFar:
        """Read what is new and judge. `at_rest`: nothing is under way any more.

        Raises ArchiveError for a line that is none of a history, and for a disk that is full.
        """
        try:
            return self._stepped(at_rest=at_rest)
        except (duckdb.Error, OSError) as error:
            raise ArchiveError(
                f"{self._folder.name} cannot be judged: {one_line(error)}"
            ) from error

    def _stepped(self, *, at_rest: bool) -> SoFar:
        began_s = time.monotonic()
        self._began_s.append(began_s)
        self._read_lines()
        trouble = ""
        try:
            queries = self._read_rows()
        except psycopg2.Error as error:
            self._connection = None
            trouble = f"the database could not be read: {one_line(error)}"
        else:
            self._judge(queries, TOLD_WITHIN_S * (not at_rest))
            self._checked, self._judged = self._judged, self._read
        return SoFar(
            acknowledged=live_tables.acknowledged(self._store),
            checked=self._checked,
            violations=tuple(self._violations.values()),
            lasted_s=time.monotonic() - began_s,
            trouble=trouble,
        )

    def _read_lines(self) -> None:
        """What was added up to the last end of a line."""
        parts = []
        for file in sorted(self._folder.glob("*.jsonl")):
            part = self._place / file.name
            begins = self._offsets.get(file, 0)
            if length := _copy_lines(file, part, begins):
                parts.append(part)
                self._offsets[file] = begins + length
        if not parts:
            return
        lines = stage(self._store, parts, self._place / "staged.parquet", first=self._last)
        for statement in NEW_LINES:
            self._store.run(statement)
        self._read += lines.operations
        self._last = max(self._last, lines.last)

    def _read_rows(self) -> TruthQueries:
        """Raises psycopg2.Error."""
        connection = self._connected()
        try:
            snapshot = begin_snapshot(connection)
            queries = self._target.truth_queries(connection)
            source = PostgresTruth(connection=connection, queries=queries, since=self._since)
            load_truth(self._store, source, self._place)
        finally:
            if not connection.closed:
                connection.rollback()
        again = self._since is None or queries.new_only is None
        live_tables.take_rows(self._store, len(self._began_s), again=again)
        self._since = snapshot
        return queries

    def _connected(self) -> psycopg2.extensions.connection:
        """Raises psycopg2.Error."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(
                self._url, connect_timeout=CONNECT_WITHIN_S, application_name=NAME
            )
        return self._connection

    def _judge(self, queries: TruthQueries, told_within_s: float) -> None:
        step, told_s = len(self._began_s), self._began_s[-1] - told_within_s
        since, until = self._asked_until, sum(began_s <= told_s for began_s in self._began_s)
        claims: dict[str, Callable[[Store], Found]] = {"overdrawn": balances.nothing_overdrawn}
        if queries.effects is not None:
            claims["missing"] = live_tables.missing
            claims["twice"] = partial(live_tables.twice, step=step)
            claims["unasked"] = partial(live_tables.unasked, since=since, until=until)
        if queries.effects is not None and queries.moves_as_one:
            claims["records"] = live_tables.records_explain
        if queries.legs is not None and queries.moves_as_one:
            claims["chains"] = ledger.legs_chain
            claims["legs"] = ledger.legs_are_whole
        for name, claim in claims.items():
            if name not in self._violations and (found := claim(self._store)):
                self._violations[name] = found.first
        self._asked_until = until
        live_tables.settle(self._store)


def _copy_lines(file: Path, part: Path, begins: int) -> int:
    """Copy whole lines from there on; how many bytes. Raises ArchiveError."""
    try:
        with file.open("rb") as opened:
            opened.seek(begins)
            added = opened.read()
        whole = added[: added.rfind(b"\n") + 1]
        part.write_bytes(whole)
    except OSError as error:
        raise ArchiveError(f"{file.name} cannot be followed: {one_line(error)}") from error
    return len(whole)
