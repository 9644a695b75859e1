"""Histories and ground truth of a run as Parquet: what is judged, kept, or loaded elsewhere.

Wallets are numbered in `wallets.parquet`; the other files name them by that number, and a side
outside the service is null. `judged` marks the rows that are about a wallet which the history
names. `archive.json` is written last: without it the archive is not whole.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import psycopg2
import psycopg2.extensions

from scenarios.scale.ground_truth import PostgresTruth, TruthSource, begin_snapshot, load_truth
from scenarios.scale.histories import Lines, missing, not_ended, stage
from scenarios.scale.store import ArchiveError, Store, one_line, open_store, quoted, scratch
from scenarios.targets.truth_queries import ScaleTarget

MANIFEST = "archive.json"
NAMED = """
SELECT side AS wallet FROM (
    SELECT unnest([move.payer, move.payee]) AS side
    FROM (SELECT unnest(moves) AS move FROM staged WHERE event IS NULL AND round IS NULL)
) UNION
SELECT unnest(json_keys(each)) FROM (
    SELECT unnest([seen, named]) AS each FROM staged
    WHERE (seen IS NOT NULL OR named IS NOT NULL) AND round IS NULL AND NOT unreadable
) WHERE json_type(each) = 'OBJECT' UNION
SELECT unnest(from_json(named, '["VARCHAR"]')) FROM staged
WHERE json_type(named) = 'ARRAY' AND round IS NULL AND NOT unreadable
"""
"""Wallets that the history names, by moving their money or by looking at them."""
NUMBERED = f"""
WITH named AS (SELECT DISTINCT wallet FROM ({NAMED}) WHERE wallet IS NOT NULL),
known AS (
    SELECT wallet FROM raw_balances UNION SELECT wallet FROM raw_legs
    UNION SELECT payer FROM raw_effects UNION SELECT payee FROM raw_effects
)
SELECT CAST(row_number() OVER () AS INTEGER) AS number, wallet, coalesce(judged, false) AS judged,
       coalesce(present, false) AS present
FROM (SELECT wallet, true AS judged FROM named)
FULL JOIN (SELECT wallet FROM known WHERE wallet IS NOT NULL) USING (wallet)
LEFT JOIN (SELECT wallet, true AS present FROM raw_balances) USING (wallet)
"""
CONTENTS = {
    "operations": """
        SELECT number, file, id, actor, name, len(moves) AS moves, key, hashed, intended_s,
               started_s, ended_s, outcome, status, answer, answer_id, round
        FROM staged WHERE event IS NULL AND NOT unreadable""",
    "events": """
        SELECT file, event.kind AS kind, event.text AS text, event.round AS round,
               event.at_s AS at_s, event.until_s AS until_s
        FROM staged WHERE event IS NOT NULL""",
    "moves": """
        SELECT m.operation, m.position, payer.number AS payer, payee.number AS payee, m.amount,
               m.hashed, m.outcome, m.of
        FROM (
            SELECT operation, position, move.payer AS payer, move.payee AS payee,
                   CAST(move.amount_minor AS BIGINT) AS amount, hashed, outcome, of
            FROM (
                SELECT number AS operation, unnest(moves) AS move,
                       CAST(generate_subscripts(moves, 1) AS INTEGER) AS position, hashed,
                       CAST(len(moves) AS INTEGER) AS of,
                       CAST(CASE outcome WHEN 'ok' THEN 0 WHEN 'unknown' THEN 1 ELSE 2 END
                            AS TINYINT) AS outcome
                FROM staged
                WHERE event IS NULL AND NOT unreadable AND round IS NULL AND len(moves) > 0
            )
        ) m LEFT JOIN wallets payer ON payer.wallet = m.payer
        LEFT JOIN wallets payee ON payee.wallet = m.payee""",
    "balances": """
        SELECT w.number AS wallet, b.asset, b.whole, b.odd, b.may_be_negative, b.version, b.owner,
               b.status, w.judged
        FROM raw_balances b JOIN wallets w USING (wallet)""",
    "effects": """
        SELECT e.effect, hash(e.effect) AS hashed, payer.number AS payer, payee.number AS payee,
               e.whole, e.odd, e.key, hash(e.key) AS hashed_key,
               coalesce(payer.judged, false) OR coalesce(payee.judged, false) AS judged,
               coalesce(payer.judged AND payer.present, false) AS payer_known,
               coalesce(payee.judged AND payee.present, false) AS payee_known
        FROM raw_effects e LEFT JOIN wallets payer ON payer.wallet = e.payer
        LEFT JOIN wallets payee ON payee.wallet = e.payee""",
    "legs": """
        SELECT l.effect, hash(l.effect) AS hashed, w.number AS wallet, l.whole, l.odd,
               l.after_whole, l.after_odd, l.position, w.judged
        FROM raw_legs l JOIN wallets w USING (wallet)""",
}
"""What becomes of staged lines and of raw truth. A move's outcome: 0 ok, 1 unknown, 2 failed."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """What there is to judge."""

    operations: int
    whole: bool
    reasons: tuple[str, ...]
    """Why operations may be missing."""
    truth: bool
    """Ground truth was read."""
    records_kept: bool
    legs_kept: bool


def archive(
    folder: Path,
    connection: psycopg2.extensions.connection | None = None,
    target: ScaleTarget | None = None,
) -> Archive:
    """The histories (*.jsonl) in the folder and the database behind them, as Parquet in the folder.

    Without a connection only the histories. The connection is idle before and after. Raises
    ArchiveError.
    """
    if connection is None or target is None:
        return archive_from(folder, None)
    try:
        begin_snapshot(connection)
        queries = target.truth_queries(connection)
        return archive_from(folder, PostgresTruth(connection=connection, queries=queries))
    except psycopg2.Error as error:
        raise ArchiveError(f"the database could not be read: {one_line(error)}") from error
    finally:
        if not connection.closed:
            connection.rollback()


def archive_from(folder: Path, source: TruthSource | None) -> Archive:
    """As `archive`. Raises ArchiveError, and what the source raises."""
    files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    if not files:
        raise ArchiveError(f"{folder.name} has no history: no file there ends in .jsonl")
    (folder / MANIFEST).unlink(missing_ok=True)
    with open_store(folder) as store, scratch(folder, "archive") as unfinished:
        read = stage(store, files, unfinished / "staged.parquet")
        reasons = (*read.reasons, *not_ended(store, files), *missing(store, files))
        kept = _write(store, source, unfinished)
        made = _manifest(read, reasons, kept, truth=source is not None)
        for file in unfinished.glob("*.parquet"):
            if file.stem != "staged":
                file.replace(folder / file.name)
        (folder / MANIFEST).write_bytes(orjson.dumps(asdict(made)))
    return made


def read_manifest(folder: Path) -> Archive:
    """Raises ArchiveError."""
    try:
        return Archive(**orjson.loads((folder / MANIFEST).read_bytes()))
    except OSError as error:
        raise ArchiveError(f"{folder.name} is not archived: {one_line(error)}") from error
    except (ValueError, TypeError) as error:
        raise ArchiveError(f"{folder.name}/{MANIFEST} is unreadable: {one_line(error)}") from error


def _write(store: Store, source: TruthSource | None, unfinished: Path) -> Sequence[str]:
    kept = load_truth(store, source, unfinished)
    _export(store, NUMBERED, unfinished / "wallets.parquet")
    wallets = quoted(unfinished / "wallets.parquet")
    store.run(f"CREATE TABLE wallets AS SELECT * FROM {wallets}")
    for name, query in CONTENTS.items():
        _export(store, query, unfinished / f"{name}.parquet")
    return kept


def _export(store: Store, query: str, file: Path) -> None:
    store.run(f"COPY ({query}) TO {quoted(file)} (FORMAT parquet)")


def _manifest(
    read: Lines, reasons: tuple[str, ...], kept: Sequence[str], *, truth: bool
) -> Archive:
    return Archive(
        operations=read.operations,
        whole=not reasons,
        reasons=reasons,
        truth=truth,
        records_kept="effects" in kept,
        legs_kept="legs" in kept,
    )
