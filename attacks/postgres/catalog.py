"""What the catalogs say of one database's relations and functions, as plain values."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from attacks.postgres.purity import Purity, builtin_purity
from attacks.postgres.relations import relation_name
from attacks.postgres.rows import RowKey, tells_apart

Code = Literal["none", "measurable", "unknown"]
"""User code that runs along: none; some, and the server's locks show all that it does to other
sessions; some of which that cannot be said (advisory locks, other languages, caught errors)."""

Event = Literal["insert", "update", "delete"]

RELATIONS = """
SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relrowsecurity,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> ''),
       ARRAY(SELECT a.attname::text FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
             WHERE a.attrelid = c.oid
             AND (a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^(pg_|information_schema$)'
"""
# Temporary tables stand under their bare names: texts call them so.
TEMPORARY = """
SELECT c.oid, c.relname, c.relkind::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'S') AND n.nspname ~ '^pg_temp_'
"""
INDEXES = "SELECT oid FROM pg_class WHERE relkind IN ('i', 'I', 't')"
PARTS = "SELECT inhparent, inhrelid FROM pg_inherits"
FOREIGN_KEYS = """
SELECT conrelid, confrelid,
       ARRAY(SELECT attname::text FROM pg_attribute
             WHERE attrelid = conrelid AND attnum = ANY (conkey)),
       ARRAY(SELECT attname::text FROM pg_attribute
             WHERE attrelid = confrelid AND attnum = ANY (confkey)),
       confdeltype NOT IN ('a', 'r') OR confupdtype NOT IN ('a', 'r'), condeferrable
FROM pg_constraint WHERE contype = 'f'
"""
DEFERRABLE = "SELECT conrelid FROM pg_constraint WHERE condeferrable AND contype IN ('p', 'u', 'x')"
# One row an index that is unique: its relation, whether it is the primary key, its columns in order
# with their types, and whether it is a plain one (no condition, no expression, an exact collation).
UNIQUE = """
SELECT i.indrelid, i.indisprimary,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY place),
       ARRAY(SELECT t.typname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
             JOIN pg_type t ON t.oid = a.atttypid ORDER BY place),
       i.indpred IS NULL AND i.indexprs IS NULL AND NOT i.indisexclusion
       AND NOT EXISTS (SELECT FROM unnest(i.indcollation) AS c (oid)
                       JOIN pg_collation l ON l.oid = c.oid WHERE NOT l.collisdeterministic)
FROM pg_index i WHERE i.indisunique OR i.indisexclusion
"""
# tgtype: INSERT 4, DELETE 8, UPDATE 16 (PostgreSQL's src/include/catalog/pg_trigger.h).
TRIGGERS = """
SELECT tgrelid, (tgtype & 4) > 0, (tgtype & 16) > 0, (tgtype & 8) > 0, tgdeferrable, tgfoid
FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE NOT tgisinternal AND tgenabled <> 'D' AND pronamespace <> 'pg_catalog'::regnamespace
"""
RULES = "SELECT DISTINCT ev_class FROM pg_rewrite WHERE rulename <> '_RETURN' AND oid >= 16384"
# Built-in functions are pinned and have no entries in pg_depend, so those found are others'.
EXPRESSIONS = """
SELECT DISTINCT o.relation, d.refclassid = 'pg_proc'::regclass, d.refobjid,
       o.class IN ('pg_attrdef'::regclass, 'pg_constraint'::regclass)
FROM (SELECT 'pg_rewrite'::regclass AS class, oid, ev_class AS relation FROM pg_rewrite
      UNION ALL SELECT 'pg_policy'::regclass, oid, polrelid FROM pg_policy
      UNION ALL SELECT 'pg_attrdef'::regclass, oid, adrelid FROM pg_attrdef
      UNION ALL SELECT 'pg_constraint'::regclass, oid, conrelid FROM pg_constraint
                WHERE contype = 'c' AND conrelid <> 0
      UNION ALL SELECT 'pg_class'::regclass, indexrelid, indrelid FROM pg_index
      UNION ALL SELECT 'pg_constraint'::regclass, k.oid, a.attrelid
                FROM pg_constraint k JOIN pg_attribute a ON a.atttypid = k.contypid
                WHERE k.contypid <> 0) o
JOIN pg_depend d ON d.classid = o.class AND d.objid = o.oid
WHERE d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass)
  AND d.refobjid <> o.relation AND d.refobjid >= 16384
"""
# Identity columns ('i') and serial ones ('a').
OWNED_SEQUENCES = """
SELECT d.refobjid, d.objid FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
  AND c.relkind = 'S' AND d.deptype IN ('i', 'a')
"""
FUNCTIONS = """
SELECT p.oid, n.nspname, p.proname, p.provolatile = 'v',
       EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass
               AND objid = p.oid AND deptype = 'e'),
       l.lanname NOT IN ('sql', 'plpgsql')
       OR p.prosrc ~* '(advisory|dblink|exception\\s+when|\\mlo_|\\mcopy\\M)',
       p.prosrc ~* 'notify', p.prokind = 'p', p.prosrc ~* '\\mcall\\M'
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
               JOIN pg_language l ON l.oid = p.prolang
"""
HIDDEN_CALLS = """
SELECT EXISTS (SELECT FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
               WHERE o.oid >= 16384 AND p.oid >= 16384
               AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e'))
    OR EXISTS (SELECT FROM pg_cast c WHERE c.castfunc >= 16384
               AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.castfunc AND deptype = 'e'))
"""


@dataclass(frozen=True, kw_only=True)
class ForeignKey:
    child: str
    parent: str
    child_columns: frozenset[str]
    parent_columns: frozenset[str]
    cascades: bool
    """A change of the parent changes the child; otherwise it only locks it."""
    deferrable: bool = False


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """Calls code of the user's."""

    events: frozenset[Event]
    deferrable: bool


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One name; what several schemas call alike stands united under the bare name too."""

    kind: str = "r"
    """As pg_class.relkind says."""
    generated: bool = False
    """Some columns are computed from others."""
    filled: frozenset[str] = frozenset()
    """Columns that get a value where a new row names none."""
    parts: frozenset[str] = frozenset()
    """Partitions and inheriting tables."""
    mentions: frozenset[str] = frozenset()
    """Relations in its query and policies."""
    calls: Code = "none"
    """User code in the same, and in its indexes."""
    defaults: frozenset[str] = frozenset()
    """Sequences that fill its columns."""
    default_calls: Code = "none"
    """User code that fills its columns or checks them."""
    triggers: tuple[Trigger, ...] = ()
    has_rules: bool = False
    has_deferrable: bool = False
    """A unique or exclusion constraint may be checked at COMMIT."""
    row_key: RowKey | None = None
    """How its rows can be told apart."""


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """Of one database, at the moment it was read."""

    names: Mapping[int, tuple[str, str]]
    """By oid: name and kind. System catalogs are left out."""
    indexes: frozenset[int]
    """And TOAST tables: whoever locks one has locked its table."""
    relations: Mapping[str, Relation]
    keys_of: Mapping[str, tuple[ForeignKey, ...]]
    """By child."""
    keys_to: Mapping[str, tuple[ForeignKey, ...]]
    """By parent."""
    functions: Mapping[str, Purity]
    user_code: Code = "none"
    """Of whatever the users defined that may run along with a statement, taken together."""
    notifies: bool = False
    hidden_calls: bool = False
    """Operators or casts of the users' own may run code in any expression."""


class Cursor(Protocol):
    def execute(self, query: str) -> object: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...


def read_catalog(cursor: Cursor) -> Catalog:
    """A dozen short queries."""
    names = {
        oid: (relation_name(schema, name), kind)
        for oid, schema, name, kind, *_ in _rows(cursor, RELATIONS)
    }
    rows = _rows(cursor, FUNCTIONS)
    users = [row for row in rows if row[1] != "pg_catalog" and not row[4]]
    users = [row for row in users if row[1] != "information_schema"]
    user_code = _code_of(_run_along(users))
    rows_of_keys = _rows(cursor, FOREIGN_KEYS)
    keys = [
        ForeignKey(
            child=names[child][0],
            parent=names[parent][0],
            child_columns=frozenset(child_columns),
            parent_columns=frozenset(parent_columns),
            cascades=cascades,
            deferrable=deferrable,
        )
        for child, parent, child_columns, parent_columns, cascades, deferrable in rows_of_keys
        if child in names and parent in names
    ]
    return Catalog(
        names=names | {oid: (name, kind) for oid, name, kind in _rows(cursor, TEMPORARY)},
        indexes=frozenset(oid for (oid,) in _rows(cursor, INDEXES)),
        relations=_relations(cursor, names, {row[0]: row for row in rows}, user_code),
        keys_of=_grouped((key.child, key) for key in keys),
        keys_to=_grouped((key.parent, key) for key in keys),
        functions=_purities(rows, "measurable" if _code_of(users) == "measurable" else "unknown"),
        user_code=user_code,
        notifies=any(row[6] for row in users),
        hidden_calls=bool(_rows(cursor, HIDDEN_CALLS)[0][0]),
    )


def _code_of(functions: Sequence[tuple[Any, ...]]) -> Code:
    if not functions:
        return "none"
    return "unknown" if any(row[5] for row in functions) else "measurable"


def _run_along(users: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """A procedure runs where it is called by name, by a statement or a function's CALL only."""
    functions = [row for row in users if not row[7]]
    return users if any(row[8] for row in functions) else functions


def _relations(
    cursor: Cursor,
    names: Mapping[int, tuple[str, str]],
    functions: Mapping[int, tuple[Any, ...]],
    user_code: Code,
) -> dict[str, Relation]:
    parts = _by_relation(names, _rows(cursor, PARTS))
    mentions: dict[str, set[str]] = defaultdict(set)
    defaults = _by_relation(names, _rows(cursor, OWNED_SEQUENCES))
    calls: dict[str, Code] = {}
    default_calls: dict[str, Code] = {}
    for oid, is_function, target, fills in _rows(cursor, EXPRESSIONS):
        if oid not in names:
            continue
        name = names[oid][0]
        if is_function and not _is_pure_extension(functions.get(target)):
            where = default_calls if fills else calls
            where[name] = user_code if user_code != "none" else "unknown"
        elif not is_function and target in names:
            (defaults if fills else mentions)[name].add(names[target][0])
    triggers: dict[str, list[Trigger]] = defaultdict(list)
    for oid, *event, deferrable, _ in _rows(cursor, TRIGGERS):
        if oid in names:
            triggers[names[oid][0]].append(_trigger(event, deferrable))
    row_keys = _row_keys(_rows(cursor, UNIQUE))
    ruled = {oid for (oid,) in _rows(cursor, RULES)}
    deferrable = {oid for (oid,) in _rows(cursor, DEFERRABLE)}
    return {
        names[oid][0]: Relation(
            kind=kind,
            generated=generated,
            filled=frozenset(filled),
            parts=frozenset(parts[names[oid][0]]),
            mentions=frozenset(mentions[names[oid][0]]),
            calls=calls.get(names[oid][0], "none"),
            defaults=frozenset(defaults[names[oid][0]]),
            default_calls=default_calls.get(names[oid][0], "none"),
            triggers=tuple(triggers[names[oid][0]]),
            has_rules=oid in ruled,
            has_deferrable=oid in deferrable,
            row_key=row_keys.get(oid),
        )
        for oid, _, _, kind, _, generated, filled in _rows(cursor, RELATIONS)
        if oid in names
    }


def _row_keys(indexes: Iterable[tuple[Any, ...]]) -> dict[int, RowKey]:
    """Of each relation that has a primary key of types that tell rows apart."""
    by_relation: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for oid, *index in indexes:
        by_relation[oid].append(tuple(index))
    found: dict[int, RowKey] = {}
    for oid, unique in by_relation.items():
        for primary, columns, types, plain in unique:
            if primary and plain and tells_apart(types):
                found[oid] = RowKey(
                    columns=tuple(columns),
                    types=tuple(types),
                    alone=len(unique) == 1,
                    unique_columns=frozenset(c for _, names, *_ in unique for c in names),
                    plain=all(index[-1] for index in unique),
                )
    return found


def _trigger(events: list[bool], deferrable: bool) -> Trigger:
    order: tuple[Event, ...] = ("insert", "update", "delete")
    fired = frozenset(event for event, fires in zip(order, events, strict=True) if fires)
    return Trigger(events=fired, deferrable=deferrable)


def _purities(rows: Iterable[tuple[Any, ...]], of_users: Purity) -> dict[str, Purity]:
    """By bare name, and by `schema.name` for the system's own.

    A bare name that a user has overloaded may mean the user's function.
    """
    volatile: dict[str, bool] = {}
    users: set[str] = set()
    for _, schema, name, is_volatile, of_extension, *_ in rows:
        if schema in ("pg_catalog", "information_schema"):
            volatile[name] = volatile.get(name, False) or is_volatile
            volatile[f"{schema}.{name}"] = volatile[name]
        elif of_extension:
            for written in (name, f"{schema}.{name}"):
                volatile[written] = volatile.get(written, False) or is_volatile
        else:
            users |= {name, f"{schema}.{name}"}
    return {
        name: of_users
        if name in users
        else builtin_purity(name.rpartition(".")[2], volatile=volatile[name])
        for name in volatile.keys() | users
    }


def _is_pure_extension(function: tuple[Any, ...] | None) -> bool:
    if function is None:
        return False
    _, _, name, volatile, of_extension, *_ = function
    return of_extension and builtin_purity(name, volatile=volatile) == "pure"


def _by_relation(
    names: Mapping[int, tuple[str, str]], pairs: Iterable[tuple[Any, ...]]
) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for oid, other in pairs:
        if oid in names and other in names:
            found[names[oid][0]].add(names[other][0])
    return found


def _grouped(pairs: Iterable[tuple[str, ForeignKey]]) -> dict[str, tuple[ForeignKey, ...]]:
    found: dict[str, list[ForeignKey]] = defaultdict(list)
    for name, key in pairs:
        found[name].append(key)
    return {name: tuple(keys) for name, keys in found.items()}


def _rows(cursor: Cursor, query: str) -> list[tuple[Any, ...]]:
    cursor.execute(query)
    return cursor.fetchall()
