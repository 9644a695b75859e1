"""Ten anomalies at three isolation levels, through the proxy: `python -m tests.integration.hermitage`.

The anomalies, and the idea of one short script each, are Hermitage's (Martin Kleppmann,
https://github.com/ept/hermitage); the names are Adya's ("Weak Consistency", 1999), Berenson's
("A Critique of ANSI SQL Isolation Levels", 1995) and Bailis's ("Highly Available Transactions",
2013). The statements are our own. Hermitage is one order by hand; here each script is forced in
that order, and then the explorer searches every order of its statements.
"""

import re
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import psycopg2

from attacks.postgres.checkpoint import Checkpoint
from attacks.postgres.explorer.choosing import following
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried
from attacks.postgres.explorer.programs import Program, Result, Sessions
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Choose, Run
from attacks.postgres.observer import Observer
from attacks.postgres.proxy import Proxy
from engine.ownership import Workspace
from engine.stores import PostgresServer, open_postgres

FILE = Path(__file__).parents[2] / "docs" / "hermitage.md"
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
SCHEMA = """
CREATE TABLE account (id int PRIMARY KEY, amount int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 200);
"""
LINE = re.compile(r"\s*(?P<session>[A-C])\s+(?P<statement>\S.*\S)\s*")
BUDGET = Budget(exhaustive=5000, exhaustive_s=60, bounded=0, most_preemptions=0, random=0)
ANOMALIES = {
    "G0": "write cycle",
    "G1a": "aborted read",
    "G1b": "intermediate read",
    "G1c": "circular information flow",
    "OTV": "observed transaction vanishes",
    "PMP": "predicate-many-preceders",
    "P4": "lost update",
    "G-single": "read skew",
    "G2-item": "write skew",
    "G2": "anti-dependency cycle",
}
DOCUMENTED: Mapping[str, str] = {
    **dict.fromkeys(("G0", "G1a", "G1b", "G1c", "OTV"), "READ COMMITTED"),
    **dict.fromkeys(("PMP", "P4", "G-single"), "REPEATABLE READ"),
    **dict.fromkeys(("G2-item", "G2"), "SERIALIZABLE"),
}
"""The weakest level that prevents it, as Hermitage says of PostgreSQL and as PostgreSQL's
documentation (chapter "Transaction Isolation") describes its levels."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one schedule came to."""

    results: Mapping[str, Sequence[Result]]
    """Of each session, statement by statement, without its BEGIN."""
    amounts: Mapping[int, int]
    """What is in the table in the end."""

    def amount(self, session: str, statement: int) -> object:
        """What a SELECT of one amount gave, counted from 0; None when it gave no row or failed."""
        rows = self.results[session][statement]
        return rows[0][0] if isinstance(rows, tuple) and rows else None

    def found(self, session: str, statement: int) -> bool:
        rows = self.results[session][statement]
        return isinstance(rows, tuple) and bool(rows)

    def committed(self, *sessions: str) -> bool:
        return all(self.results[session][-1] == "COMMIT" for session in sessions)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Sessions A, B, C as a script: its lines in their order are the order that is forced."""

    anomaly: str
    script: str
    shown: Callable[[Seen], bool]
    """Whether the anomaly is there: no order of whole transactions could have come to this."""
    proof: str
    """What `shown` looks for, in words."""
    variant: str = ""

    @property
    def name(self) -> str:
        return f"{self.anomaly}, {self.variant}" if self.variant else self.anomaly

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        matches = [LINE.fullmatch(line) for line in self.script.strip().splitlines()]
        return tuple((m["session"], m["statement"]) for m in matches if m)

    @property
    def sessions(self) -> tuple[str, ...]:
        return tuple(sorted({session for session, _ in self.lines}))

    @property
    def order(self) -> tuple[int, ...]:
        """BEGIN is no choice: it touches nothing."""
        return tuple(self.sessions.index(session) for session, _ in self.lines)

    def programs(self, level: str) -> list[Program]:
        begin = f"BEGIN ISOLATION LEVEL {level}"
        return [
            Program(statements=(begin, *(line for owner, line in self.lines if owner == session)))
            for session in self.sessions
        ]


def _vanished(seen: Seen) -> bool:
    """C saw what a transaction wrote, and later something older than that."""
    last = {104: "A", 108: "B"}.get(seen.amounts[1])
    ages = {100: 0, 200: 0, 104: 1, 204: 1, 108: 2, 208: 2}
    if last == "A":
        ages |= {104: 2, 204: 2, 108: 1, 208: 1}
    reads = [seen.amount("C", i) for i in range(3)]
    seen_ages = [ages[amount] for amount in reads if isinstance(amount, int)]
    return seen_ages != sorted(seen_ages)


CASES = (
    Case(
        anomaly="G0",
        script="""
            A  UPDATE account SET amount = 101 WHERE id = 1
            B  UPDATE account SET amount = 102 WHERE id = 1
            A  UPDATE account SET amount = 201 WHERE id = 2
            A  COMMIT
            B  UPDATE account SET amount = 202 WHERE id = 2
            B  COMMIT
        """,
        shown=lambda seen: tuple(seen.amounts.values()) in {(101, 202), (102, 201)},
        proof="one account is A's in the end and the other is B's",
    ),
    Case(
        anomaly="G1a",
        script="""
            A  UPDATE account SET amount = 999 WHERE id = 1
            B  SELECT amount FROM account WHERE id = 1
            A  ROLLBACK
            B  SELECT amount FROM account WHERE id = 1
            B  COMMIT
        """,
        shown=lambda seen: 999 in (seen.amount("B", 0), seen.amount("B", 1)),
        proof="B reads what A wrote and took back",
    ),
    Case(
        anomaly="G1b",
        script="""
            A  UPDATE account SET amount = 999 WHERE id = 1
            B  SELECT amount FROM account WHERE id = 1
            A  UPDATE account SET amount = 101 WHERE id = 1
            A  COMMIT
            B  SELECT amount FROM account WHERE id = 1
            B  COMMIT
        """,
        shown=lambda seen: 999 in (seen.amount("B", 0), seen.amount("B", 1)),
        proof="B reads what A wrote and then wrote over",
    ),
    Case(
        anomaly="G1c",
        script="""
            A  UPDATE account SET amount = 101 WHERE id = 1
            B  UPDATE account SET amount = 202 WHERE id = 2
            A  SELECT amount FROM account WHERE id = 2
            B  SELECT amount FROM account WHERE id = 1
            A  COMMIT
            B  COMMIT
        """,
        shown=lambda seen: (
            seen.amount("A", 1) == 202 and seen.amount("B", 1) == 101 and seen.committed("A", "B")
        ),
        proof="A reads B's write and B reads A's",
    ),
    Case(
        anomaly="OTV",
        script="""
            A  UPDATE account SET amount = 104 WHERE id = 1
            A  UPDATE account SET amount = 204 WHERE id = 2
            B  UPDATE account SET amount = 108 WHERE id = 1
            A  COMMIT
            C  SELECT amount FROM account WHERE id = 1
            B  UPDATE account SET amount = 208 WHERE id = 2
            C  SELECT amount FROM account WHERE id = 2
            B  COMMIT
            C  SELECT amount FROM account WHERE id = 1
            C  COMMIT
        """,
        shown=_vanished,
        proof="C reads a write, and then something older than its transaction",
    ),
    Case(
        anomaly="PMP",
        variant="read",
        script="""
            A  SELECT id FROM account WHERE amount = 300
            B  INSERT INTO account VALUES (3, 300)
            B  COMMIT
            A  SELECT id FROM account WHERE amount % 300 = 0
            A  COMMIT
        """,
        shown=lambda seen: not seen.found("A", 0) and seen.found("A", 1) and seen.committed("A"),
        proof="A finds no row of 300, and then one",
    ),
    Case(
        anomaly="PMP",
        variant="write",
        script="""
            A  UPDATE account SET amount = amount + 100
            B  DELETE FROM account WHERE amount = 200
            A  COMMIT
            B  SELECT id FROM account WHERE amount = 200
            B  COMMIT
        """,
        shown=lambda seen: seen.found("B", 1) and seen.committed("B"),
        proof="B deletes what holds 200, and then finds a row of 200",
    ),
    Case(
        anomaly="P4",
        script="""
            A  SELECT amount FROM account WHERE id = 1
            B  SELECT amount FROM account WHERE id = 1
            A  UPDATE account SET amount = 101 WHERE id = 1
            B  UPDATE account SET amount = 102 WHERE id = 1
            A  COMMIT
            B  COMMIT
        """,
        shown=lambda seen: (
            seen.amount("A", 0) == seen.amount("B", 0) == 100 and seen.committed("A", "B")
        ),
        proof="both read 100, both write what follows from it, both commit",
    ),
    Case(
        anomaly="G-single",
        variant="read",
        script="""
            A  SELECT amount FROM account WHERE id = 1
            B  UPDATE account SET amount = 110 WHERE id = 1
            B  UPDATE account SET amount = 190 WHERE id = 2
            B  COMMIT
            A  SELECT amount FROM account WHERE id = 2
            A  COMMIT
        """,
        shown=lambda seen: (
            (seen.amount("A", 0), seen.amount("A", 1)) in {(100, 190), (110, 200)}
            and seen.committed("A")
        ),
        proof="A reads one account before B's transfer and the other after it",
    ),
    Case(
        anomaly="G-single",
        variant="predicate",
        script="""
            A  SELECT id FROM account WHERE amount % 100 = 0 AND id = 1
            B  UPDATE account SET amount = 130 WHERE amount = 100
            B  COMMIT
            A  SELECT id FROM account WHERE amount % 13 = 0
            A  COMMIT
        """,
        shown=lambda seen: seen.found("A", 0) and seen.found("A", 1) and seen.committed("A"),
        proof="A finds the account by what it held before B and again by what it held after",
    ),
    Case(
        anomaly="G-single",
        variant="write",
        script="""
            A  SELECT amount FROM account WHERE id = 1
            B  UPDATE account SET amount = 110 WHERE id = 1
            B  UPDATE account SET amount = 190 WHERE id = 2
            B  COMMIT
            A  DELETE FROM account WHERE amount = 200
            A  COMMIT
        """,
        shown=lambda seen: (
            seen.amount("A", 0) == 100
            and seen.results["A"][1] == "DELETE 0"
            and seen.committed("A", "B")
        ),
        proof="A reads 100, as before B, and finds no 200 to delete, as after B",
    ),
    Case(
        anomaly="G2-item",
        script="""
            A  SELECT sum(amount) FROM account WHERE id IN (1, 2)
            B  SELECT sum(amount) FROM account WHERE id IN (1, 2)
            A  UPDATE account SET amount = 0 WHERE id = 1
            B  UPDATE account SET amount = 0 WHERE id = 2
            A  COMMIT
            B  COMMIT
        """,
        shown=lambda seen: (
            seen.amount("A", 0) == seen.amount("B", 0) == 300 and seen.committed("A", "B")
        ),
        proof="both rely on a sum of 300, each empties another account, both commit",
    ),
    Case(
        anomaly="G2",
        variant="predicate",
        script="""
            A  SELECT id FROM account WHERE amount % 300 = 0
            B  SELECT id FROM account WHERE amount % 300 = 0
            A  INSERT INTO account VALUES (3, 300)
            B  INSERT INTO account VALUES (4, 600)
            A  COMMIT
            B  COMMIT
        """,
        shown=lambda seen: (
            not seen.found("A", 0) and not seen.found("B", 0) and seen.committed("A", "B")
        ),
        proof="neither finds a multiple of 300, each inserts one, both commit",
    ),
    Case(
        anomaly="G2",
        variant="two edges",
        script="""
            A  SELECT amount FROM account WHERE id = 2
            B  UPDATE account SET amount = 250 WHERE id = 2
            B  COMMIT
            C  SELECT sum(amount) FROM account
            C  COMMIT
            A  UPDATE account SET amount = 0 WHERE id = 1
            A  COMMIT
        """,
        shown=lambda seen: (
            seen.amount("A", 0) == 200
            and seen.amount("C", 0) == 350
            and seen.committed("A", "B", "C")
        ),
        proof="A reads before B wrote, C sees B's write and not A's, all commit",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One case at one level."""

    case: Case
    level: str
    forced: Run
    """The script's own order."""
    forced_shows: bool
    explored: Explored

    @property
    def possible(self) -> bool:
        return self.forced_shows or self.explored.losing is not None

    @property
    def prevented(self) -> bool:
        """No order shows it, and every order that could matter was tried."""
        return not self.possible and self.explored.exhausted

    @property
    def verdict(self) -> str:
        if self.possible:
            return "possible"
        return "prevented" if self.prevented else "unknown"


@contextmanager
def place(postgres: PostgresServer) -> Iterator["Place"]:
    """A database with the table, a proxy before it, an observer beside it."""
    name = f"hermitage_{secrets.token_hex(4)}"
    url = postgres.create_database(name)
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(SCHEMA)
        cursor.execute(f"ALTER DATABASE {name} SET deadlock_timeout = 1")
    address = psycopg2.extensions.parse_dsn(url)
    try:
        with (
            closing(Proxy(address["host"], int(address["port"]))) as proxy,
            closing(Observer(url)) as observer,
            closing(Checkpoint(url)) as checkpoint,
            closing(psycopg2.connect(url)) as reader,
        ):
            reader.autocommit = True
            yield Place(
                proxied_url=postgres.url(name, port=proxy.port),
                track=RaceTrack(proxy, observer),
                checkpoint=checkpoint,
                reader=reader,
            )
    finally:
        postgres.drop_database(name)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the scripts run."""

    proxied_url: str
    track: RaceTrack
    checkpoint: Checkpoint
    reader: psycopg2.extensions.connection

    def cell(self, case: Case, level: str) -> Cell:
        """Force the script's order, then search every order."""
        with closing(Sessions(self.proxied_url, case.programs(level))) as sessions:

            def attempt(choose: Choose) -> Tried:
                self.checkpoint.restore()
                run = self.track.force(sessions.racers, choose)
                shown = not run.gave_up and case.shown(self._seen(case, run))
                return Tried(run=run, violations=int(shown))

            forced = attempt(following(case.order))
            explored = Exploration(
                attempt=attempt, racers=len(case.sessions), budget=BUDGET
            ).run()
            self.checkpoint.restore()
        return Cell(
            case=case,
            level=level,
            forced=forced.run,
            forced_shows=forced.violations > 0,
            explored=explored,
        )

    def _seen(self, case: Case, run: Run) -> Seen:
        with self.reader.cursor() as cursor:
            cursor.execute("SELECT id, amount FROM account ORDER BY id")
            amounts = dict(cursor.fetchall())
        results = zip(case.sessions, run.results, strict=True)
        return Seen(results={name: result[1:] for name, result in results}, amounts=amounts)


def measured(
    postgres: PostgresServer, seen: Callable[[Cell], None] = lambda _: None
) -> tuple[Cell, ...]:
    """Every case at every level."""
    cells = []
    with place(postgres) as here:
        for case, level in product(CASES, LEVELS):
            cells.append(here.cell(case, level))
            seen(cells[-1])
    return tuple(cells)


def expected(case: Case, level: str) -> str:
    """What PostgreSQL is documented to do."""
    enough = LEVELS.index(level) >= LEVELS.index(DOCUMENTED[case.anomaly])
    return "prevented" if enough else "possible"


def _told(cell: Cell) -> None:
    e = cell.explored
    wanted = expected(cell.case, cell.level)
    print(
        f"{cell.case.name:22}{cell.level:17}{cell.verdict:10}"
        f"{'' if cell.verdict == wanted else '!= ' + wanted:14}"
        f"forced {'shows it' if cell.forced_shows else 'does not':9} {e.explored:5} orders"
        f" {e.duration_s:6.2f} s", e.reasons or "", "no race needed!" if e.no_race_needed else "",
        "" if cell.forced.order == cell.case.order else f"FORCED {cell.forced.order}",
        e.losing.run.order if e.losing else "",
    )
    sys.stdout.flush()


def main() -> None:
    with Workspace() as workspace, closing(open_postgres("embedded", workspace)) as postgres:
        measured(postgres, _told)


if __name__ == "__main__":
    main()
