"""What a statement's text says that it reads, writes and locks, by PostgreSQL's own grammar.

The text alone never says everything: views, triggers, foreign keys and functions hide behind names.
`footprint` unites it with what the server's locks and catalogs say.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from pglast import parse_sql
from pglast.parser import ParseError

from attacks.postgres.grammar_statements import control, isolation_set, kind_of
from attacks.postgres.grammar_tree import Found, read_tree
from attacks.postgres.purity import is_harmless_builtin
from attacks.postgres.relations import (
    ADVISORY,
    Access,
    Isolation,
    has_advisory,
    strongest,
    widest,
)
from attacks.postgres.rows import Touch
from attacks.postgres.trace import Kind, TransactionStatus

NOTHING: frozenset[str] = frozenset()

QUIET = frozenset({
    "begin", "set", "show", "discard", "deallocate", "close", "empty", "savepoint", "release",
    "unlisten",
})  # fmt: skip
"""They take no snapshot and touch nothing that another session could see."""

WITHOUT_SNAPSHOT = QUIET | {
    "commit", "rollback", "rollback to", "lock", "notify", "listen", "fetch", "set constraints",
}  # fmt: skip
"""PlannedStmtRequiresSnapshot in PostgreSQL's src/backend/tcop/pquery.c."""


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """One query string. Relations as `relations.relation_name` writes them."""

    kind: str
    """The statement's kind in lower case; "empty", "several" or "unknown" (not parsable)."""
    kinds: tuple[str, ...] = ()
    """Of every statement of the text, in order."""
    reads: frozenset[str] = NOTHING
    writes: frozenset[str] = NOTHING
    """Written or row-locked; sequences and advisory locks that the text names."""
    locks_rows: bool = False
    access: Access = "lock"
    """The widest that it does to anything in `writes`."""
    inserted: frozenset[str] = NOTHING
    """Of `writes`: rows are put in and none is changed, whatever `access` says of the others."""
    columns: frozenset[tuple[str, frozenset[str]]] = frozenset()
    """Of relations that it changes by naming columns: which. Of others it may set any."""
    touches: frozenset[Touch] = frozenset()
    """Every mention of those relations that it names with their rows only."""
    functions: frozenset[str] = NOTHING
    """Called in any place, qualified when the text was."""
    unknown: bool = False
    """The text alone shows that nothing can be said, such as DDL."""
    isolation: str | None = None
    """What it sets; "default" when it sets the server's default or a value we cannot read."""
    isolation_of_session: bool = False
    """It sets the default of the session's next database transactions."""
    statements: int = 0
    chain: bool = False
    """COMMIT AND CHAIN, ROLLBACK AND CHAIN."""

    @property
    def takes_snapshot(self) -> bool:
        return any(kind not in WITHOUT_SNAPSHOT for kind in self.kinds)

    def columns_of(self, relation: str) -> frozenset[str] | None:
        """Those that it sets; None is any."""
        return dict(self.columns).get(relation)


@lru_cache(maxsize=8192)
def parse(sql: str) -> Parsed:
    """Never raises: what PostgreSQL's grammar refuses has the kind "unknown"."""
    return _parsed(LITERAL.sub(_without_what_is_fresh, sql))


LITERAL = re.compile(r"'[^']*'")
FRESH = re.compile(
    r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[0-9.:+-]*",
    re.IGNORECASE,
)
"""Ids and moments that a client wrote into its text: new each time, and nothing to the grammar."""


def _without_what_is_fresh(literal: re.Match[str]) -> str:
    return FRESH.sub("…", literal.group())


@lru_cache(maxsize=8192)
def _parsed(sql: str) -> Parsed:
    try:
        trees = [raw.stmt for raw in parse_sql(sql)]
    except (ParseError, ValueError, RecursionError):
        return Parsed(kind="unknown", kinds=("unknown",), unknown=True, statements=1)
    parts = [_one(tree) for tree in trees]
    if not parts:
        return Parsed(kind="empty", kinds=("empty",))
    if len(parts) == 1:
        return parts[0]
    return _several(parts)


def is_choice(  # noqa: PLR0913 - each is one fact about the session at this moment
    parsed: Parsed,
    *,
    status: TransactionStatus,
    kind: Kind = "query",
    ends_with_sync: bool = True,
    isolation: Isolation = "read committed",
    holds: frozenset[str] | None = None,
    is_pure: Callable[[str], bool] = is_harmless_builtin,
) -> bool:
    """Whether other sessions could tell when this step runs; if not, it is forwarded at once.

    `holds`: what the session's transaction wrote or locked so far, None when that is not known.
    """
    level = strongest(isolation, parsed.isolation or "read committed")
    if level == "default":
        level = "serializable"
    snapshot_matters = level != "read committed" and not (status == "I" and ends_with_sync)
    if kind == "prepare":
        # Analysing a statement takes the snapshot of its transaction.
        return snapshot_matters and parsed.takes_snapshot
    if parsed.kind == "rollback":
        return status != "E" if holds is None else bool(holds)
    touches = bool(parsed.reads or parsed.writes) or parsed.unknown
    return (
        kind == "call"
        or not set(parsed.kinds) <= QUIET | {"select"}
        or (touches and not _unlocks_nothing(parsed, holds))
        or _discards_locks(parsed, holds)
        or any(not is_pure(name) for name in parsed.functions - UNLOCKS)
        or ("select" in parsed.kinds and snapshot_matters)
    )


UNLOCKS = frozenset({"pg_advisory_unlock_all", "pg_catalog.pg_advisory_unlock_all"})


def _unlocks_nothing(parsed: Parsed, holds: frozenset[str] | None) -> bool:
    """A pool's reset (asyncpg's) unlocks everything; nothing happens when nothing was locked."""
    return (
        holds is not None
        and not has_advisory(holds)
        and not parsed.reads
        and not parsed.unknown
        and parsed.writes == {ADVISORY}
        and bool(parsed.functions & UNLOCKS)
        and not any("advisory" in name for name in parsed.functions - UNLOCKS)
    )


def _discards_locks(parsed: Parsed, holds: frozenset[str] | None) -> bool:
    return "discard" in parsed.kinds and holds is not None and has_advisory(holds)


def _one(tree: object) -> Parsed:
    kind = kind_of(tree)
    found = Found()
    read_tree(tree, found)
    level, of_session = isolation_set(tree)
    return Parsed(
        kind=kind,
        kinds=(kind,),
        reads=frozenset(found.reads),
        writes=frozenset(found.writes),
        locks_rows=found.locks_rows,
        access=found.access,
        inserted=frozenset(found.inserted - found.changed),
        columns=_columns(found),
        touches=frozenset(t for t in found.touches if t.relation not in found.anywhere),
        functions=frozenset(found.functions),
        unknown=found.unknown or kind in ("ddl", "do", "execute", "two-phase"),
        isolation=level or found.isolation,
        isolation_of_session=of_session or found.isolation is not None,
        statements=1,
        chain=control(tree),
    )


NOTHING_NAMED: frozenset[tuple[str, frozenset[str]]] = frozenset()


def _columns(found: Found) -> frozenset[tuple[str, frozenset[str]]]:
    if found.defaults:
        return NOTHING_NAMED
    # Whoever puts rows in and changes others sets any column.
    both = found.inserted & found.changed
    return frozenset(
        (name, frozenset(columns))
        for name, columns in found.columns.items()
        if columns is not None and name not in both
    )


def _several(parts: list[Parsed]) -> Parsed:
    levels = [part.isolation for part in parts if part.isolation]
    changed = NOTHING.union(*(part.writes - part.inserted for part in parts))
    whole = parts[0]
    for part in parts[1:]:
        whole = replace(
            whole,
            reads=whole.reads | part.reads,
            writes=whole.writes | part.writes,
            functions=whole.functions | part.functions,
            access=widest(whole.access, part.access),
            columns=NOTHING_NAMED,
            touches=frozenset(),
            locks_rows=whole.locks_rows or part.locks_rows,
            unknown=whole.unknown or part.unknown,
            isolation_of_session=whole.isolation_of_session or part.isolation_of_session,
            chain=whole.chain or part.chain,
        )
    return replace(
        whole,
        kind="several",
        kinds=tuple(part.kind for part in parts),
        isolation=strongest(*levels) if levels else None,
        inserted=NOTHING.union(*(part.inserted for part in parts)) - changed,
        statements=len(parts),
    )
