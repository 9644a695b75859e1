"""Which row of a relation a statement names, as its text says it: `WHERE id = 7`."""

from collections.abc import Iterator
from typing import Any

from pglast import ast, enums

from attacks.postgres.rows import Named, Touch

FRESH_MARK = "…"
"""Stands in a text for what is new each time (`grammar.parse`): it names nothing."""


def is_of_one_table(node: Any) -> bool:
    """A SELECT whose WHERE can only be about the one table that it reads."""
    tables = list(node.fromClause or ())
    return (
        node.op == enums.SetOperation.SETOP_NONE
        and len(tables) == 1
        and isinstance(tables[0], ast.RangeVar)
    )


def touch_of(relation: str, node: Any) -> Touch | None:
    """None where an INSERT, UPDATE or DELETE does not say which row it is about."""
    match node:
        case ast.InsertStmt() if node.cols and node.onConflictClause is None:
            return _inserted(relation, node)
        case ast.InsertStmt() if node.cols and _does_nothing(node.onConflictClause):
            return _inserted(relation, node)
        case ast.UpdateStmt() if not node.fromClause:
            sets = frozenset(target.name for target in node.targetList or ())
            named = named_by(node.whereClause, node.relation)
            return Touch(relation=relation, verb="update", named=named, sets=sets)
        case ast.DeleteStmt() if not node.usingClause:
            named = named_by(node.whereClause, node.relation)
            return Touch(relation=relation, verb="delete", named=named)
    return None


def _does_nothing(conflict: Any) -> bool:
    return bool(conflict.action == enums.OnConflictAction.ONCONFLICT_NOTHING)


def _inserted(relation: str, node: Any) -> Touch | None:
    values = list(getattr(node.selectStmt, "valuesLists", None) or ())
    if len(values) != 1 or len(values[0]) != len(node.cols):
        return None
    given = zip((column.name for column in node.cols), map(_constant, values[0]), strict=True)
    named = frozenset((name, text) for name, text in given if text is not None)
    return Touch(relation=relation, verb="insert", named=named)


def named_by(where: Any, table: Any) -> Named:
    """Columns of this table that have to equal a constant for any row of it to be touched."""
    called = table.alias.aliasname if table.alias else table.relname
    return frozenset(_equalities(where, called))


def _equalities(node: Any, called: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.BoolExpr) and node.boolop == enums.BoolExprType.AND_EXPR:
        for part in _parts(node.args):
            yield from _equalities(part, called)
    elif isinstance(node, ast.A_Expr) and node.kind == enums.A_Expr_Kind.AEXPR_OP:
        if [part.sval for part in _parts(node.name)] != ["="]:
            return
        for column, value in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
            name, text = _column(column, called), _constant(value)
            if name is not None and text is not None:
                yield name, text
                return


def _parts(node: Any) -> Any:
    return node or ()


def _column(node: Any, called: str) -> str | None:
    """Its name: a bare one is the innermost table's, another table's (of an outer query) none."""
    if not isinstance(node, ast.ColumnRef):
        return None
    *before, last = _parts(node.fields)
    if not isinstance(last, ast.String) or (before and before[-1].sval != called):
        return None
    return last.sval


HARMLESS_CASTS = frozenset({"text", "varchar", "int2", "int4", "int8", "uuid"})
"""They change how a constant is read, and never cut it short (as `varchar(2)` and `name` do)."""


def _constant(node: Any) -> str | None:
    """As it is written, without its casts."""
    while isinstance(node, ast.TypeCast):
        wanted: Any = node.typeName
        if wanted.typmods or wanted.arrayBounds or wanted.names[-1].sval not in HARMLESS_CASTS:
            return None
        node = node.arg
    if not isinstance(node, ast.A_Const):
        return None
    match node.val:
        case ast.String():
            text = node.val.sval or ""
            return None if FRESH_MARK in text else text
        case ast.Integer():
            return str(node.val.ival)
    return None
