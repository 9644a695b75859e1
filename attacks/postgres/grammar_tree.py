"""Walks a parse tree and collects relations, row locks and functions.

Scopes matter: the name of a WITH query is no relation, and a name after OF is an alias.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pglast import ast, enums

from attacks.postgres.grammar_rows import is_of_one_table, named_by, touch_of
from attacks.postgres.relations import ADVISORY, OUTSIDE, Access, relation_name, widest
from attacks.postgres.rows import Touch

Names = frozenset[str]
NO_NAMES: Names = frozenset()

CATALOG_SCHEMAS = ("pg_catalog", "information_schema")
LIVE_CATALOGS = re.compile(
    r"pg_(stat|locks|sequence|largeobject|prepared_xacts|replication|cursors|shmem|backend|notif)"
)
"""Catalogs whose rows change with what other sessions do at this moment."""
SEQUENCE_WRITERS = ("nextval", "setval")


@dataclass
class Found:
    """What the walk has collected so far."""

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    locks_rows: bool = False
    unknown: bool = False
    isolation: str | None = None
    access: Access = "lock"
    columns: dict[str, set[str] | None] = field(default_factory=dict)
    """Of each relation those that UPDATEs set or INSERTs name; None is any."""
    inserted: set[str] = field(default_factory=set)
    """Into which rows are put; those of `changed` are no less changed for it."""
    changed: set[str] = field(default_factory=set)
    touches: list[Touch] = field(default_factory=list)
    """Each mention of a relation that names its row."""
    anywhere: set[str] = field(default_factory=set)
    """Relations that are mentioned without saying which row."""
    defaults: bool = False
    """The text says DEFAULT somewhere: the columns that it names do not tell all."""


def read_tree(node: Any, found: Found, ctes: Names = NO_NAMES) -> None:
    """Collect from a node, a tuple of nodes, or anything else (nothing)."""
    if isinstance(node, tuple):
        for part in node:
            read_tree(part, found, ctes)
    elif isinstance(node, ast.Node):
        reader = READERS.get(type(node))
        if reader is None:
            _children(node, found, ctes)
        else:
            reader(node, found, ctes)


def _children(node: Any, found: Found, ctes: Names, *, but: tuple[str, ...] = ()) -> None:
    for slot in node:
        if slot not in but:
            value = getattr(node, slot)
            if isinstance(value, tuple | ast.Node):
                read_tree(value, found, ctes)


def _relation(node: Any, found: Found, ctes: Names) -> None:
    for name in _named(node, found, ctes):
        found.reads.add(name)
        found.anywhere.add(name)


def _named(node: Any, found: Found, ctes: Names) -> Iterator[str]:
    """The relation's name; nothing for a WITH query or a catalog that sessions do not change."""
    schema, name = node.schemaname, node.relname
    if schema is None and name in ctes:
        return
    if schema in CATALOG_SCHEMAS or (schema is None and name.startswith("pg_")):
        found.unknown |= LIVE_CATALOGS.match(name) is not None
        return
    yield relation_name(schema, name)


def _target(node: Any, found: Found, ctes: Names) -> None:
    """INSERT, UPDATE, DELETE, MERGE: `relation` is written, the rest is read."""
    inner = _with(node.withClause, found, ctes)
    relation = node.relation
    if relation.schemaname in CATALOG_SCHEMAS or relation.relname.startswith("pg_"):
        found.unknown = True
    name = relation_name(relation.schemaname, relation.relname)
    found.writes.add(name)
    (found.inserted if _only_inserts(node) else found.changed).add(name)
    found.access = widest(found.access, "insert" if _only_inserts(node) else "change")
    if touch := touch_of(name, node):
        found.touches.append(touch)
    else:
        found.anywhere.add(name)
    chosen = _chosen(node)
    already = found.columns.get(name, set())
    found.columns[name] = None if chosen is None or already is None else already | chosen
    _children(node, found, inner, but=("withClause", "relation"))


def _chosen(node: Any) -> set[str] | None:
    """The columns that it sets; None is any."""
    match node:
        case ast.UpdateStmt():
            return {target.name for target in node.targetList or ()}
        case ast.InsertStmt() if node.cols and _only_inserts(node):
            return {target.name for target in node.cols}
    return None


def _only_inserts(node: Any) -> bool:
    if not isinstance(node, ast.InsertStmt):
        return False
    conflict = node.onConflictClause
    return conflict is None or conflict.action == enums.OnConflictAction.ONCONFLICT_NOTHING


def _with(clause: Any, found: Found, ctes: Names) -> Names:
    """Read the WITH queries and return the names visible behind them."""
    if clause is None:
        return ctes
    if clause.recursive:
        ctes |= {cte.ctename for cte in clause.ctes}
    for cte in clause.ctes:
        # Without RECURSIVE a WITH query sees only those before it: `WITH a AS (… FROM a)` reads a.
        read_tree(cte.ctequery, found, ctes)
        ctes |= {cte.ctename}
    return ctes


def _select(node: Any, found: Found, ctes: Names) -> None:
    inner = _with(node.withClause, found, ctes)
    found.unknown |= node.intoClause is not None
    aside: tuple[str, ...] = ("withClause", "lockingClause", "intoClause")
    if is_of_one_table(node):
        aside += ("fromClause",)
        for name in _named(node.fromClause[0], found, inner):
            found.reads.add(name)
            named = named_by(node.whereClause, node.fromClause[0])
            found.touches.append(Touch(relation=name, verb="read", named=named))
    _children(node, found, inner, but=aside)
    for clause in node.lockingClause or ():
        found.locks_rows = True
        found.writes |= _locked(clause, node.fromClause or (), inner)


def _locked(clause: Any, from_clause: tuple[Any, ...], ctes: Names) -> set[str]:
    """The relations whose rows FOR UPDATE and its like may lock."""
    by_alias: dict[str, set[str]] = {}
    for item in from_clause:
        _aliases(item, by_alias, ctes)
    everything = set[str]().union(*by_alias.values())
    if clause.lockedRels is None:
        return everything
    named = [by_alias.get(relation.relname, everything) for relation in clause.lockedRels]
    return set[str]().union(*named)


def _aliases(item: Any, by_alias: dict[str, set[str]], ctes: Names) -> None:
    """Alias to relations, of one item of a FROM clause."""
    match item:
        case ast.JoinExpr():
            _aliases(item.larg, by_alias, ctes)
            _aliases(item.rarg, by_alias, ctes)
            return
        case ast.RangeTableSample():
            _aliases(item.relation, by_alias, ctes)
            return
        case ast.RangeVar():
            alias = (item.alias.aliasname if item.alias else item.relname) or ""
        case _:
            alias = item.alias.aliasname if getattr(item, "alias", None) else ""
    inside = Found()
    read_tree(item, inside, ctes)
    by_alias.setdefault(alias, set()).update(inside.reads | inside.writes)


def _function(node: Any, found: Found, ctes: Names) -> None:
    name = ".".join(part.sval for part in node.funcname)
    bare = name.removeprefix("pg_catalog.")
    if bare.startswith(("pg_advisory_", "pg_try_advisory_")):
        found.writes.add(ADVISORY)
    if bare == "pg_notify":
        found.writes.add(OUTSIDE)
    if not (_sequence(bare, node, found) or _setting(bare, node, found)):
        found.functions.add(name)
    _children(node, found, ctes, but=("funcname",))


def _sequence(bare: str, node: Any, found: Found) -> bool:
    """`nextval('orders_id_seq')`: the sequence is named, so the call is no secret."""
    text = _constant(node.args[0]) if bare in SEQUENCE_WRITERS and node.args else None
    parts = _split_name(text) if text else None
    if parts is None:
        return False
    found.writes.add(relation_name(*parts))
    return True


def _setting(bare: str, node: Any, found: Found) -> bool:
    """`set_config('x', …)` is SET; only the isolation level matters to other sessions."""
    setting = _constant(node.args[0]) if bare == "set_config" and node.args else None
    if setting is None:
        return False
    if "isolation" in setting.lower():
        found.isolation = "serializable"
    return True


def _constant(node: Any) -> str | None:
    if isinstance(node, ast.TypeCast):
        node = node.arg
    if isinstance(node, ast.A_Const) and isinstance(node.val, ast.String):
        return node.val.sval
    return None


IDENTIFIER = r'(?:"((?:[^"]|"")+)"|([A-Za-z_][\w$]*))'
QUALIFIED = re.compile(rf"(?:{IDENTIFIER}\.)?{IDENTIFIER}")


def _split_name(text: str) -> tuple[str | None, str] | None:
    """A regclass text into schema and name, folded as PostgreSQL folds it; None: not a name."""
    match = QUALIFIED.fullmatch(text.strip())
    if match is None:
        return None
    quoted_schema, schema, quoted_name, name = match.groups()
    return (
        quoted_schema.replace('""', '"') if quoted_schema else schema and schema.lower(),
        quoted_name.replace('""', '"') if quoted_name else name.lower(),
    )


def _copy(node: Any, found: Found, ctes: Names) -> None:
    if node.filename is not None or node.is_program:
        found.writes.add(OUTSIDE)
    if node.relation is not None:
        names = found.writes if node.is_from else found.reads
        copied = set(_named(node.relation, found, ctes))
        names |= copied
        found.anywhere |= copied
        found.access = widest(found.access, "insert")
    _children(node, found, ctes, but=("relation",))


def _lock_table(node: Any, found: Found, ctes: Names) -> None:
    for relation in node.relations:
        locked = set(_named(relation, found, ctes))
        found.writes |= locked
        found.anywhere |= locked
    # The only mode that makes a plain SELECT wait. 8: AccessExclusiveLock (storage/lockdefs.h).
    found.unknown |= node.mode == 8


def _truncate(node: Any, found: Found, ctes: Names) -> None:
    for relation in node.relations:
        found.writes.update(_named(relation, found, ctes))
    found.unknown = True


def _notification(node: Any, found: Found, ctes: Names) -> None:  # noqa: ARG001 - a Reader
    found.writes.add(OUTSIDE)


def _prepare(node: Any, found: Found, ctes: Names) -> None:
    """It is analysed, not run; EXECUTE is unknown."""


def _transaction(node: Any, found: Found, ctes: Names) -> None:  # noqa: ARG001 - a Reader
    kind = enums.TransactionStmtKind
    found.unknown |= node.kind in (
        kind.TRANS_STMT_PREPARE,
        kind.TRANS_STMT_COMMIT_PREPARED,
        kind.TRANS_STMT_ROLLBACK_PREPARED,
    )


def _default(node: Any, found: Found, ctes: Names) -> None:  # noqa: ARG001 - a Reader
    """`SET id = DEFAULT` does what an INSERT would: the columns alone do not tell."""
    found.defaults = True


Reader = Callable[[Any, Found, Names], None]
READERS: dict[type[Any], Reader] = {
    ast.RangeVar: _relation,
    ast.InsertStmt: _target,
    ast.UpdateStmt: _target,
    ast.DeleteStmt: _target,
    ast.MergeStmt: _target,
    ast.SelectStmt: _select,
    ast.FuncCall: _function,
    ast.CopyStmt: _copy,
    ast.LockStmt: _lock_table,
    ast.TruncateStmt: _truncate,
    ast.NotifyStmt: _notification,
    ast.ListenStmt: _notification,
    ast.PrepareStmt: _prepare,
    ast.SetToDefault: _default,
    ast.TransactionStmt: _transaction,
}
