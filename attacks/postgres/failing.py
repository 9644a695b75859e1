"""A step that fails: what the server gets in its place, and the error that the client sees.

The server fails by itself, so that its database transaction is really in state E. What the client
gets has the texts of PostgreSQL's own messages (`src/backend`, errors of these SQLSTATEs).
"""

import re

from attacks.postgres import wire
from attacks.postgres.statements import Batch

FATAL = ("53300", "57P01")
"""PostgreSQL ends the session with these."""

IN_FAILED_TRANSACTION = "25P02"

_TEXTS = {
    "40001": "could not serialize access due to concurrent update",
    "40P01": "deadlock detected",
    "53300": "sorry, too many clients already",
    "55P03": "canceling statement due to lock timeout",
    "57014": "canceling statement due to user request",
    "57P01": "terminating connection due to administrator command",
}
_HINTS = {"40P01": "See server log for query details."}
_OTHER = "error at a chosen statement"
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
_ENDS = re.compile(r"\s*(commit|end|prepare\s+transaction)\b", re.IGNORECASE)
_NAME = "assay_fault"


def is_sqlstate(code: str) -> bool:
    """Whether it is one that an error can have."""
    return bool(_SQLSTATE.fullmatch(code)) and not code.startswith(("00", "01", "02"))


def substitute(batch: Batch, sqlstate: str) -> bytes:
    """What is sent to the server instead of the batch; each message of the reply may be dropped.

    The unnamed statement and portal stay the client's. A statement of the extended protocol can
    fail with a chosen SQLSTATE only when it is executed, so it gets a name of its own; it is closed
    before it is used again. A COMMIT that fails ends its database transaction all the same.
    """
    text = message_text(sqlstate).replace("'", "''")
    sql = f"DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}', MESSAGE = '{text}'; END$$"
    texts = ["ROLLBACK", sql] if _ENDS.match(batch.sql) else [sql]
    if batch.is_simple:
        return wire.query("; ".join(texts))
    ending = wire.sync() if batch.synced else wire.flush()
    return b"".join(map(_extended, texts)) + ending


def _extended(sql: str) -> bytes:
    return (
        wire.close("S", _NAME)
        + wire.parse(_NAME, sql)
        + wire.bind(_NAME, _NAME)
        + wire.execute(_NAME)
    )


def error_fields(sqlstate: str) -> dict[str, str]:
    severity = "FATAL" if sqlstate in FATAL else "ERROR"
    shown = {"S": severity, "V": severity, "C": sqlstate, "M": message_text(sqlstate)}
    return shown | ({"H": _HINTS[sqlstate]} if sqlstate in _HINTS else {})


def message_text(sqlstate: str) -> str:
    return _TEXTS.get(sqlstate, _OTHER)


def error_shown(found: dict[str, str], sqlstate: str) -> bytes:
    """The client's ErrorResponse, when the server answered the substitute with this one.

    In a failed transaction every statement fails with 25P02, the chosen one too.
    """
    keeps_own = found.get("C") == IN_FAILED_TRANSACTION or found.get("V") in ("FATAL", "PANIC")
    return wire.error_response(found if keeps_own else error_fields(sqlstate))
