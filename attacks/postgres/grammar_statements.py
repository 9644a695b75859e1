"""The kind of a statement, and what it does to database transactions."""

from typing import Any

from pglast import ast, enums

KINDS: dict[type[Any], str] = {
    ast.SelectStmt: "select",
    ast.InsertStmt: "insert",
    ast.UpdateStmt: "update",
    ast.DeleteStmt: "delete",
    ast.MergeStmt: "merge",
    ast.CopyStmt: "copy",
    ast.CallStmt: "call",
    ast.DoStmt: "do",
    ast.VariableSetStmt: "set",
    ast.VariableShowStmt: "show",
    ast.DiscardStmt: "discard",
    ast.DeallocateStmt: "deallocate",
    ast.ClosePortalStmt: "close",
    ast.DeclareCursorStmt: "declare",
    ast.FetchStmt: "fetch",
    ast.PrepareStmt: "prepare",
    ast.ExecuteStmt: "execute",
    ast.ExplainStmt: "explain",
    ast.LockStmt: "lock",
    ast.NotifyStmt: "notify",
    ast.ListenStmt: "listen",
    ast.UnlistenStmt: "unlisten",
    ast.ConstraintsSetStmt: "set constraints",
}
TRANSACTION_KINDS = {
    enums.TransactionStmtKind.TRANS_STMT_BEGIN: "begin",
    enums.TransactionStmtKind.TRANS_STMT_START: "begin",
    enums.TransactionStmtKind.TRANS_STMT_COMMIT: "commit",
    enums.TransactionStmtKind.TRANS_STMT_ROLLBACK: "rollback",
    enums.TransactionStmtKind.TRANS_STMT_SAVEPOINT: "savepoint",
    enums.TransactionStmtKind.TRANS_STMT_RELEASE: "release",
    enums.TransactionStmtKind.TRANS_STMT_ROLLBACK_TO: "rollback to",
}
SETS_THIS = ("transaction_isolation", "TRANSACTION", "TRANSACTION SNAPSHOT")
SETS_NEXT = ("default_transaction_isolation", "SESSION CHARACTERISTICS")


def kind_of(tree: Any) -> str:
    """In lower case; "two-phase" for prepared transactions, "ddl" for everything not listed."""
    if isinstance(tree, ast.TransactionStmt):
        return TRANSACTION_KINDS.get(tree.kind, "two-phase") if tree.kind is not None else "ddl"
    return KINDS.get(type(tree), "ddl")


def control(tree: Any) -> bool:
    """Whether the statement begins the next transaction at once (AND CHAIN)."""
    return isinstance(tree, ast.TransactionStmt) and bool(tree.chain)


def isolation_set(tree: Any) -> tuple[str | None, bool]:
    """The level that it sets ("default" when it cannot be read), and whether for the session."""
    if isinstance(tree, ast.TransactionStmt):
        return _option(tree.options or ()), False
    if isinstance(tree, ast.DiscardStmt):
        whole = tree.target == enums.DiscardMode.DISCARD_ALL
        return ("default", True) if whole else (None, False)
    return _variable(tree) if isinstance(tree, ast.VariableSetStmt) else (None, False)


def _variable(tree: Any) -> tuple[str | None, bool]:
    if tree.kind == enums.VariableSetKind.VAR_RESET_ALL:
        return "default", True
    name, args = tree.name or "", tree.args or ()
    of_session = name in SETS_NEXT or name.lower() in SETS_NEXT
    if tree.kind == enums.VariableSetKind.VAR_SET_MULTI:
        return _option(args), of_session
    if name.lower() not in SETS_THIS + SETS_NEXT or (tree.is_local and of_session):
        # SET LOCAL of the default is over before the first transaction that it would touch.
        return None, False
    return (_text(args[0]) if args else "default"), of_session


def _option(options: tuple[Any, ...]) -> str | None:
    for option in options:
        if isinstance(option, ast.DefElem) and option.defname == "transaction_isolation":
            return _text(option.arg)
    return None


def _text(node: Any) -> str:
    if isinstance(node, ast.A_Const) and isinstance(node.val, ast.String):
        return (node.val.sval or "").lower()
    return "default"
