"""Histories as they were streamed, line by line, to tables.

DuckDB's own reader is used: of 10⁶ lines it makes Parquet in 1 to 2 s on 2 cores, while only
parsing them in Python takes 1.5 s. A line that is no line of a history is an error, unless it is
the torn last one of a file: then the history is not whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from attacks.history import BESIDE, ENDED, Event, Move, Operation
from scenarios.scale.store import ArchiveError, Store, quoted

LARGEST_MINOR = 2**63 - 1
LONGEST_LINE = 64 * 2**20
COLUMNS = """{
    operation: 'STRUCT(id BIGINT, actor VARCHAR, name VARCHAR, round BIGINT,
        moves STRUCT(payer VARCHAR, payee VARCHAR, amount_minor VARCHAR)[], "key" VARCHAR,
        intended_s DOUBLE, started_s DOUBLE, ended_s DOUBLE, outcome VARCHAR, status INTEGER,
        answer VARCHAR, "values" STRUCT(id VARCHAR, balances JSON, wallets JSON))',
    event: 'STRUCT(kind VARCHAR, text VARCHAR, round BIGINT, at_s DOUBLE, until_s DOUBLE)'
}"""
STAGED = """
COPY (
    SELECT row_number() OVER () + {first} AS number, parse_filename(filename) AS file,
           operation.id AS id, operation.actor AS actor, operation.name AS name,
           operation.moves AS moves, nullif(operation.key, '') AS key,
           hash(nullif(operation.key, '')) AS hashed, operation.intended_s AS intended_s,
           operation.started_s AS started_s, operation.ended_s AS ended_s,
           operation.outcome AS outcome, operation.status AS status, operation.answer AS answer,
           operation.values.id AS answer_id, operation.values.balances AS seen,
           operation.values.wallets AS named, operation.round AS round, event,
           operation IS NULL AND event IS NULL
           OR operation IS NOT NULL AND coalesce(
               operation.id IS NULL OR operation.name IS NULL OR operation.actor IS NULL
               OR operation.moves IS NULL OR operation.started_s IS NULL
               OR operation.ended_s IS NULL
               OR operation.outcome NOT IN ('ok', 'failed', 'unknown')
               OR len(list_filter(operation.moves, lambda m: m IS NULL
                      OR TRY_CAST(m.amount_minor AS BIGINT) IS NULL
                      OR NOT regexp_full_match(m.amount_minor, '-?[0-9]+'))) > 0, true)
           OR event IS NOT NULL AND (event.kind IS NULL OR event.at_s IS NULL) AS unreadable
    FROM read_json({files}, format = 'newline_delimited', ignore_errors = true, filename = true,
                   maximum_object_size = {longest}, columns = {columns})
) TO {staged} (FORMAT parquet)
"""
"""Numbered anew: ids are unique within one file only. Extra fields of a line are left out."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What was read, and why it may not be everything."""

    operations: int
    last: int
    """The number of the last line; operations are numbered as lines, with gaps for events."""
    reasons: tuple[str, ...]


def stage(store: Store, files: Sequence[Path], staged: Path, *, first: int = 0) -> Lines:
    """All lines of the files as one Parquet file. Raises ArchiveError that names a bad line.

    `first`: numbers begin after it.
    """
    torn = [file for file in files if _is_torn(file)]
    names = ", ".join(quoted(file) for file in files)
    store.run(
        STAGED.format(
            files=f"[{names}]",
            staged=quoted(staged),
            columns=COLUMNS,
            longest=LONGEST_LINE,
            first=first,
        )
    )
    store.run(f"CREATE OR REPLACE VIEW staged AS SELECT * FROM {quoted(staged)}")
    unreadable, operations, last = store.row(
        "SELECT count(*) FILTER (unreadable), count(*) FILTER (NOT unreadable AND event IS NULL), "
        "coalesce(max(number), 0) FROM staged"
    )
    if unreadable > len(torn):
        raise ArchiveError(_first_bad_line(files, torn))
    return Lines(
        operations=operations,
        last=last,
        reasons=tuple(f"the last line of {file.name} is torn" for file in torn),
    )


def not_ended(store: Store, files: Sequence[Path]) -> tuple[str, ...]:
    """The histories of a load that their process did not finish."""
    ended = {
        file
        for (file,) in store.rows(
            "SELECT DISTINCT file FROM staged WHERE event.kind = 'note' AND event.text = ?", ENDED
        )
    }
    return tuple(
        f"{file.name} was not finished: its process was ended before it could"
        for file in files
        if file.name.startswith("load") and file.name not in ended
    )


def missing(store: Store, files: Sequence[Path]) -> tuple[str, ...]:
    """What belongs to the same load, as the histories say, and is not here."""
    named = store.rows("SELECT DISTINCT event.text FROM staged WHERE event.kind = ?", BESIDE)
    here = {file.name for file in files}
    return tuple(
        f"{file} of the same load is missing: put all histories into one folder"
        for (file,) in sorted(named)
        if file not in here
    )


def _is_torn(file: Path) -> bool:
    """Whether its last line has no end and cannot be read."""
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        start, tail = size, b""
        while start > 0 and b"\n" not in tail:
            start = max(0, start - 2**16)
            opened.seek(start)
            tail = opened.read(size - start)
    last = tail.rpartition(b"\n")[2]
    return bool(last.strip()) and _complaint(last) is not None


def _first_bad_line(files: Sequence[Path], torn: Sequence[Path]) -> str:
    for file in files:
        with file.open("rb") as opened:
            lines = enumerate(opened, start=1)
            for number, line in lines:
                complaint = _complaint(line)
                if complaint and not (file in torn and not line.endswith(b"\n")):
                    return f"{file.name}:{number} is not a line of a history: {complaint}"
    return "a line of the histories cannot be read"


def _complaint(line: bytes) -> str | None:
    """Why a line is none of a history, as `read_history` sees it."""
    try:
        record = orjson.loads(line)
        if "operation" in record:
            _operation(record["operation"])
        else:
            Event(**record["event"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return repr(error) if isinstance(error, KeyError) else str(error)
    return None


def _operation(fields: dict[str, object]) -> None:
    moves = fields.pop("moves")
    if not isinstance(moves, list):
        raise TypeError("moves is no list")
    for move in (Move(**move) for move in moves):
        if type(move.amount_minor) is not int or abs(move.amount_minor) > LARGEST_MINOR:
            raise ValueError(f"{move.amount_minor!r} is no amount that can be judged at scale")
    operation = Operation(moves=(), **fields)  # type: ignore[arg-type]
    if operation.outcome not in ("ok", "failed", "unknown"):
        raise ValueError(f"an outcome is not {operation.outcome!r}")
