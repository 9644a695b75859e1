"""Ten anomalies as scripts of two or three sessions, and what proves each: data.

The anomalies, and the idea of one short script each, are Hermitage's (Martin Kleppmann,
https://github.com/ept/hermitage); the names are Adya's ("Weak Consistency", 1999), Berenson's
("A Critique of ANSI SQL Isolation Levels", 1995) and Bailis's ("Highly Available Transactions",
2013). The statements are our own: balances, and the end that each anomaly would have for them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from attacks.postgres.explorer.programs import Program, Result

SCHEMA = """
CREATE TABLE account (id int PRIMARY KEY, amount int NOT NULL);
INSERT INTO account VALUES (1, 100), (2, 200);
"""
LINE = re.compile(r"\s*(?P<session>[A-C])\s+(?P<statement>\S.*\S)\s*")


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
        """The sessions of the lines. BEGIN is no choice: it touches nothing."""
        return tuple(self.sessions.index(session) for session, _ in self.lines)

    def programs(self, level: str) -> list[Program]:
        begin = f"BEGIN ISOLATION LEVEL {level}"
        return [
            Program(statements=(begin, *(line for owner, line in self.lines if owner == session)))
            for session in self.sessions
        ]


def _vanished(seen: Seen) -> bool:
    """C saw what a transaction wrote, and later something older than that."""
    older, newer = ((108, 208), (104, 204)) if seen.amounts[1] == 104 else ((104, 204), (108, 208))
    ages = {amount: age for age, pair in enumerate(((100, 200), older, newer)) for amount in pair}
    reads = [ages[amount] for i in (0, 1) if isinstance(amount := seen.amount("C", i), int)]
    return reads != sorted(reads)


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
            B  COMMIT
            C  SELECT amount FROM account WHERE id = 2
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
            A  SELECT id FROM account WHERE amount BETWEEN 100 AND 110
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
