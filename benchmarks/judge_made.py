"""A made-up load for judge.py: what clients said and what is in the database, by SQL."""

import csv
import shutil
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import duckdb
import orjson

from attacks.history import History, read_history
from scenarios.scale.archive import CONTENTS, MANIFEST, Archive
from scenarios.truth import Balance, Effect, GroundTruth, Leg

WALLETS = 1000
OPENING_MINOR = 10**12
MADE = f"""
CREATE TABLE sent AS
SELECT i AS number, i AS work, false AS again,
       CASE WHEN i % 5 = 0 THEN 2 + hash(i) % ({WALLETS} - 1) ELSE 1 + hash(i) % {WALLETS} END
       AS payer,
       CASE WHEN i % 5 = 0 THEN 1 ELSE 1 + (hash(i) % {WALLETS} + 1 + hash(i, 1) % ({WALLETS} - 1))
            % {WALLETS} END AS payee,
       1 + hash(i, 2) % 2000 AS amount, 'transfer' AS name,
       CASE WHEN hash(i, 3) % 1000 < 10 THEN 'failed' WHEN hash(i, 3) % 1000 = 10 THEN 'unknown'
            ELSE 'ok' END AS outcome
FROM range(1, CAST($1 * 0.95 AS BIGINT) + 1 - {WALLETS}) r(i)
UNION ALL
SELECT -i, -i, false, NULL, i, {OPENING_MINOR}, 'deposit', 'ok' FROM range(1, {WALLETS} + 1) r(i)
"""
REPLAYED = """
INSERT INTO sent SELECT number + 1000000000, work, true, payer, payee, amount, name, outcome
FROM sent WHERE number > 0 AND outcome = 'ok' AND number % 19 = 0
"""
TABLES = {
    "operations": """
        SELECT number, 'load.jsonl' AS file, number AS id, 'user ' || (work % 50) AS actor, name,
               1 AS moves, key, hash(key) AS hashed, due AS intended_s, due AS started_s,
               due + 0.01 AS ended_s, outcome, CASE outcome WHEN 'ok' THEN 201 WHEN 'failed'
               THEN 402 END AS status, outcome AS answer, CASE outcome WHEN 'ok' THEN effect END
               AS answer_id, CAST(NULL AS BIGINT) AS round
        FROM keyed""",
    "events": "SELECT 'load.jsonl' AS file, 'note' AS kind, 'load ended' AS text, NULL AS round, "
    "0.0 AS at_s, NULL AS until_s",
    "moves": """
        SELECT number AS operation, 1 AS position, CAST(payer AS INTEGER) AS payer,
               CAST(payee AS INTEGER) AS payee, CAST(amount AS BIGINT) AS amount,
               hash(key) AS hashed, CAST(CASE outcome WHEN 'ok' THEN 0 WHEN 'unknown' THEN 1 ELSE 2
               END AS TINYINT) AS outcome, 1 AS of FROM keyed""",
    "wallets": f"""
        SELECT CAST(i AS INTEGER) AS number, CAST(i AS VARCHAR) AS wallet, true AS judged,
               true AS present FROM range(1, {WALLETS} + 1) r(i)""",
    "effects": """
        SELECT effect, hash(effect) AS hashed, CAST(payer AS INTEGER) AS payer,
               CAST(payee AS INTEGER) AS payee, CAST(amount AS BIGINT) AS whole,
               CAST(NULL AS VARCHAR) AS odd, key, hash(key) AS hashed_key, true AS judged,
               payer IS NOT NULL AS payer_known, true AS payee_known FROM done""",
    "legs": """
        SELECT effect, hash(effect) AS hashed, CAST(wallet AS INTEGER) AS wallet, whole,
               CAST(NULL AS VARCHAR) AS odd,
               CAST(sum(whole) OVER wallets AS BIGINT) AS after_whole,
               CAST(NULL AS VARCHAR) AS after_odd, row_number() OVER wallets AS position,
               true AS judged FROM sides WINDOW wallets AS (PARTITION BY wallet ORDER BY work)""",
    "balances": """
        SELECT CAST(wallet AS INTEGER) AS wallet, 'USD' AS asset,
               CAST(sum(whole) AS BIGINT) AS whole, CAST(NULL AS VARCHAR) AS odd,
               false AS may_be_negative, CAST(count(*) AS BIGINT) AS version, '1' AS owner,
               'active' AS status, true AS judged FROM sides GROUP BY wallet""",
}
"""Half of what got no answer was done."""
VIEWS = """
CREATE VIEW keyed AS SELECT *, substr(md5(CAST(work AS VARCHAR)), 1, 24) AS key,
       CAST(md5('e' || work) AS UUID)::VARCHAR AS effect, 1.79e9 + abs(work) / 500 AS due FROM sent;
CREATE VIEW done AS SELECT * FROM keyed
WHERE NOT again AND (outcome = 'ok' OR outcome = 'unknown' AND work % 2 = 0);
CREATE VIEW sides AS SELECT effect, payee AS wallet, CAST(amount AS BIGINT) AS whole, work FROM done
UNION ALL SELECT effect, payer, -CAST(amount AS BIGINT), work FROM done WHERE payer IS NOT NULL;
"""
LINES = """
SELECT {'id': o.number, 'actor': actor, 'name': name, 'text': 'transfer of ' || m.amount,
        'round': NULL, 'moves': [{'payer': CAST(m.payer AS VARCHAR), 'payee':
        CAST(m.payee AS VARCHAR), 'amount_minor': m.amount}], 'key': key,
        'intended_s': intended_s, 'started_s': started_s, 'ended_s': ended_s,
        'outcome': o.outcome, 'status': status, 'answer': answer, 'values': {'id': answer_id}}
       AS operation
FROM operations o JOIN moves m ON m.operation = o.number
"""
COPIED = {
    "balances": "SELECT wallet, asset, whole, odd, may_be_negative, version, owner, status "
    "FROM balances",
    "effects": "SELECT effect, payer, payee, whole, odd, key FROM effects",
    "legs": "SELECT effect, wallet, whole, odd, after_whole, after_odd, position FROM legs",
}


@dataclass(frozen=True, kw_only=True)
class MadeTruth:
    """The CSV that PostgreSQL would send."""

    folder: Path

    def keeps(self, table: str) -> bool:
        return table in COPIED

    def copy(self, table: str, file: BinaryIO) -> None:
        with (self.folder / f"{table}.csv").open("rb") as made:
            shutil.copyfileobj(made, file)


def make_archive(folder: Path, operations: int, *, violated: bool) -> None:
    """As `scenarios.scale.archive` would have left it."""
    with duckdb.connect(config={"temp_directory": str(folder / "spill")}) as connection:
        connection.execute(MADE.replace("$1", str(operations)))
        connection.execute(REPLAYED)
        connection.execute(VIEWS)
        for name, query in TABLES.items():
            connection.execute(f"COPY ({query}) TO '{folder}/{name}.parquet' (FORMAT parquet)")
        if violated:
            _record_twice(connection, folder)
        (count,) = connection.execute("SELECT count(*) FROM sent").fetchone() or (0,)
    shutil.rmtree(folder / "spill", ignore_errors=True)
    made = Archive(
        operations=count, whole=True, reasons=(), truth=True, records_kept=True, legs_kept=True
    )
    (folder / MANIFEST).write_bytes(orjson.dumps(asdict(made)))


def _record_twice(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    effects = folder / "effects.parquet"
    twice = folder / "twice.parquet"
    connection.execute(
        f"COPY (SELECT * FROM '{effects}' UNION ALL (SELECT * FROM '{effects}' LIMIT 1)) "
        f"TO '{twice}' (FORMAT parquet)"
    )
    twice.replace(effects)


def make_lines(folder: Path) -> None:
    """The same load as JSON lines (lines/), and its ground truth as CSV (truth/)."""
    (folder / "lines").mkdir()
    (folder / "truth").mkdir()
    with duckdb.connect() as connection:
        for name in ("wallets", *CONTENTS):
            connection.execute(f"CREATE VIEW {name} AS FROM '{folder}/{name}.parquet'")
        file = folder / "lines/load.jsonl"
        connection.execute(f"COPY ({LINES}) TO '{file}' (FORMAT json)")
        with file.open("a") as opened:
            opened.write('{"event": {"kind": "note", "text": "load ended", "round": null, ')
            opened.write('"at_s": 2e9, "until_s": null}}\n')
        for name, query in COPIED.items():
            target = folder / f"truth/{name}.csv"
            connection.execute(f"COPY ({query}) TO '{target}' (FORMAT csv, HEADER false)")


def read_small(folder: Path) -> tuple[History, GroundTruth]:
    """What the small judge needs, in memory."""
    rows = {}
    for name in COPIED:
        with (folder / f"truth/{name}.csv").open(newline="") as opened:
            rows[name] = list(csv.reader(opened))
    truth = GroundTruth(
        balances={
            row[0]: Balance(wallet=row[0], asset=row[1], amount_minor=Decimal(row[2]))
            for row in rows["balances"]
        },
        effects=tuple(
            Effect(
                id=row[0], payer=row[1] or None, payee=row[2] or None, amount_minor=Decimal(row[3])
            )
            for row in rows["effects"]
        ),
        legs=tuple(
            Leg(
                effect=row[0],
                wallet=row[1],
                amount_minor=Decimal(row[2]),
                balance_after_minor=Decimal(row[4]),
                position=int(row[6]),
            )
            for row in rows["legs"]
        ),
    )
    return read_history(folder / "lines/load.jsonl"), truth
