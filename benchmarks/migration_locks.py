"""How long a writer has to wait while a database with data in it is upgraded.

`python -m benchmarks.migration_locks [--rows 1000000] [--from 0003]`: a database of the hardened
shape at an early revision gets so many wallets and transactions, writers pay and record on and on,
and the upgrade to the newest revision runs beside them. The longest write is the figure: without
the upgrade, and during it.
"""

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psycopg2

from engine.defences import parse_build
from engine.migrations import status, up
from engine.ownership import Workspace
from engine.shape import Shape
from engine.stores import open_postgres

WRITERS = 2
BEFORE_S = 5.0
USERS = """
INSERT INTO users (username) SELECT 'user-' || n FROM generate_series(1, {rows}) n;
INSERT INTO asset_types (name, code, decimals) VALUES ('US Dollar', 'USD', 2)
"""
WALLETS = """
INSERT INTO wallets (user_id, asset_type_id, balance, version)
SELECT n, 1, 1000, 2 FROM generate_series(1, {rows}) n
"""
TRANSACTIONS = """
INSERT INTO transactions
    (id, type, from_wallet_id, to_wallet_id, amount, status, timestamp)
SELECT gen_random_uuid(), 'TRANSFER', n, n % {rows} + 1, 100, 'COMPLETED', now()
FROM generate_series(1, {rows}) n
"""
ENTRIES = """
INSERT INTO ledger_entries
    (transaction_id, wallet_id, entry_type, amount, balance_after, wallet_version)
SELECT id, from_wallet_id, 'DEBIT', amount, 900, 1 FROM transactions
UNION ALL SELECT id, to_wallet_id, 'CREDIT', amount, 1000, 2 FROM transactions
"""
PAY = """
WITH changed AS (UPDATE wallets SET balance = balance + 1 WHERE id = %(wallet)s),
movement AS (INSERT INTO transactions
    (id, type, from_wallet_id, to_wallet_id, amount, status, timestamp)
    VALUES (gen_random_uuid(), 'TRANSFER', %(wallet)s, %(wallet)s + 1, 1, 'COMPLETED', now())
    RETURNING id)
INSERT INTO ledger_entries
    (transaction_id, wallet_id, entry_type, amount, balance_after, wallet_version)
SELECT id, %(wallet)s, 'CREDIT', 1, 1, 3 FROM movement
"""


@dataclass(kw_only=True)
class Writer:
    """Writes on and on, and keeps how long each write took."""

    url: str
    wallet: int
    waits_s: list[tuple[float, float]] = field(default_factory=list)
    """When each began, and its duration."""
    deadlocks: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not self.stopped.is_set():
                    began_s = time.monotonic()
                    try:
                        cursor.execute(PAY, {"wallet": self.wallet})
                    except psycopg2.errors.DeadlockDetected:
                        self.deadlocks += 1
                    self.waits_s.append((began_s, time.monotonic() - began_s))


@contextmanager
def writing(url: str) -> Iterator[list[Writer]]:
    writers = [Writer(url=url, wallet=number * 10) for number in range(1, WRITERS + 1)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.stopped.set()
        for thread in threads:
            thread.join()


def fill(url: str, rows: int) -> None:
    for statement in (USERS, WALLETS, TRANSACTIONS, ENTRIES, "VACUUM ANALYZE"):
        execute(url, statement.format(rows=rows))


def execute(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)


def longest_ms(writers: list[Writer], since_s: float, until_s: float) -> tuple[int, float]:
    """How many writes were under way in between, and the longest of them."""
    durations = [
        duration_s
        for writer in writers
        for began_s, duration_s in writer.waits_s
        if began_s < until_s and began_s + duration_s > since_s
    ]
    return len(durations), max(durations, default=0.0) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--from", dest="revision", default="0003")
    asked = parser.parse_args()
    shape = Shape.of(parse_build("hardened").defences)
    with Workspace() as workspace, closing(open_postgres("embedded", workspace)) as postgres:
        url = postgres.create_database("migration_locks")
        # Clusters for tests find deadlocks sooner than PostgreSQL's default.
        execute(url, "ALTER DATABASE migration_locks SET deadlock_timeout = '1s'")
        up(url, shape, revision=asked.revision)
        fill(url, asked.rows)
        with writing(url) as writers:
            quiet_s = time.monotonic()
            threading.Event().wait(BEFORE_S)
            began_s = time.monotonic()
            up(url, shape)
            ended_s = time.monotonic()
        for name, since_s, until_s in (("before", quiet_s, began_s), ("during", began_s, ended_s)):
            count, longest = longest_ms(writers, since_s, until_s)
            print(
                f"{name:7} {until_s - since_s:6.1f} s {count:7} writes, longest {longest:7.0f} ms"
            )
        applied = [revision for revision, _, done in status(url) if done]
        deadlocks = sum(writer.deadlocks for writer in writers)
        print(f"{deadlocks} deadlocks; {asked.rows} rows, from {asked.revision} to {applied[-1]}")


if __name__ == "__main__":
    main()
