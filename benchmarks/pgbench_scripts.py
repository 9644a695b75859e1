"""The statements of one transfer as a script for pgbench, made of the engine's own SQL.

So the comparison stays with the engine when its statements change. What the engine computes
between two round trips, pgbench gets from the statement before it. pgbench speaks the simple query
protocol, as the engine's driver does: values stand in the text of a statement, which is parsed and
planned each time.
"""

from collections.abc import Callable, Mapping

import psycopg2.extensions

from engine.api.problems import error_style
from engine.api.whole_transfers import refusals_at
from engine.books.core import (
    KEEP_ANSWER,
    RECORD,
    WRITE_BALANCES,
    WRITE_LEGS,
    read_and_lock_by,
)
from engine.books.row_locks import RowLocks
from engine.defences import Build
from engine.direct import Direct
from engine.idempotency import CLAIM, TRY_LOCK
from engine.money import LARGEST_AMOUNT
from engine.pins import MOST_FAILURES, TRY
from engine.revocation import IS_REVOKED
from engine.whole_transfers import CALL, words

AMOUNT_MINOR = 3
LOCKOUT_S = 900
GUESS = "a" * 64
"""What is kept of the PIN of every user who pays here, and what each of them says."""
TOKEN, FINGERPRINT = "0" * 32, "f" * 64
ANSWER = (
    '{"id": "01a1ffeb-86e6-748d-9ea7-8322de448a17", "type": "TRANSFER", "from_wallet_id": 1000, '
    '"to_wallet_id": 1001, "amount": {"amount": 3, "asset": "USD"}, "status": "COMPLETED", '
    '"timestamp": "<timestamp>"}'
)
ROUTE = "POST /v1/transfers"

# Each client pays between wallets of its own, as over HTTP. Whose wallet has which number: both are
# made in one order. Of 63 bits no key comes twice.
ACTORS = rf"""
\set amount {AMOUNT_MINOR}
\set of_mine random(0, :wallets_each - 1)
\set first_mine :client_id * :wallets_each
\set payer :first_wallet + :first_mine + :of_mine
\set payee :first_wallet + :first_mine + (:of_mine + random(1, :wallets_each - 1)) % :wallets_each
\set owner :first_user + :first_mine + :of_mine
\set number random(1, 9000000000000000000)
"""
SCOPE, KEY = f"':owner {ROUTE}'", "'pgbench-:client_id-:number'"
# The two rows as one, which pgbench can take.
READ = r"""
SELECT {new_id} AS next_id,
    max(balance) FILTER (WHERE id = :payer) AS payer_balance,
    max(version) FILTER (WHERE id = :payer) AS payer_version,
    max(balance) FILTER (WHERE id = :payee) AS payee_balance,
    max(version) FILTER (WHERE id = :payee) AS payee_version
FROM ({these}) AS locked
\gset
\set payer_after :payer_balance - :amount
\set payee_after :payee_balance + :amount
\set payer_next :payer_version + 1
\set payee_next :payee_version + 1
"""


def quoted(text: str) -> str:
    """As a literal of SQL in a script: pgbench takes what stands behind a colon for a variable.

    Where it does not stand before a letter it is none, and where it does the literal says it
    in another way.
    """
    doubled = text.replace("\\", "\\\\").replace("'", "''")
    return "E'" + doubled.replace(":", "\\072").replace("\x1f", "\\037") + "'"


VALUES: Mapping[str, str] = {
    "transaction_ids": "ARRAY[':next_id']",
    "types": "ARRAY['TRANSFER']",
    "payers": "ARRAY[:payer]",
    "payees": "ARRAY[:payee]",
    "amounts": "ARRAY[:amount]",
    "keys": f"ARRAY[{KEY}]",
    "timestamps": "ARRAY[now()]",
    "leg_transactions": "ARRAY[':next_id', ':next_id']",
    "leg_wallets": "ARRAY[:payer, :payee]",
    "leg_types": "ARRAY['DEBIT', 'CREDIT']",
    "leg_amounts": "ARRAY[:amount, :amount]",
    "leg_balances": "ARRAY[:payer_after, :payee_after]",
    "leg_versions": "ARRAY[:payer_next, :payee_next]",
    "response_status": "201",
    "response_body": quoted(ANSWER),
    "key_scope": SCOPE,
    "key": KEY,
    "wallet_ids": "ARRAY[:payer, :payee]",
    "balances": "ARRAY[:payer_after, :payee_after]",
    "versions": "ARRAY[:payer_next, :payee_next]",
    "expected_versions": "ARRAY[NULL, NULL]",
}


def core_script(build: Build, asset: int, new_id: str) -> str:  # noqa: ARG001 - as the others
    """`execution=core` of `hardened`: the six statements of a transfer.

    In the order of a request: was the token logged out, is the PIN right (it commits itself), then
    the database transaction of the key's lock and claim, the locked reading, and one statement
    that writes it all.
    """
    pin = {"user_id": ":owner", "guess": quoted(GUESS), "lockout_s": LOCKOUT_S}
    claim = {"scope": SCOPE, "key": KEY, "fingerprint": quoted(FINGERPRINT)}
    these = read_and_lock_by(RowLocks()).sql % {"ids": "(:payer, :payee)"}
    parts = ", ".join(
        f"part_{number} AS ({sql})" for number, sql in enumerate((RECORD, WRITE_LEGS, KEEP_ANSWER))
    )
    statements = (
        IS_REVOKED.sql % {"jti": quoted(TOKEN)},
        TRY.sql % {**literals(TRY), **pin},
        "BEGIN",
        TRY_LOCK.sql % {"name": f"'assay-key :owner {ROUTE} pgbench-:client_id-:number'"},
        CLAIM.sql % claim,
        READ.format(new_id=new_id, these=these),
        _with_values(f"WITH {parts} {WRITE_BALANCES}").strip(),
        "COMMIT",
    )
    return ACTORS + "".join(sql if sql.startswith("\n") else f"{sql};\n" for sql in statements)


def function_script(build: Build, asset: int, new_id: str) -> str:
    """`execution=function`: one call."""
    refusals = words(refusals_at(error_style(build.defences), "/v1/transfers"))
    values = (
        quoted(TOKEN),
        ":owner",
        "false",
        quoted(GUESS),
        str(MOST_FAILURES),
        str(LOCKOUT_S),
        SCOPE,
        KEY,
        quoted(FINGERPRINT),
        ":payer",
        ":payee",
        ":amount",
        str(asset),
        str(LARGEST_AMOUNT),
        new_id,
        quoted(ANSWER),
        quoted(refusals),
        quoted(TOKEN),
    )
    return f"{ACTORS}{CALL % values};\n"


def literals(statement: Direct) -> dict[str, str]:
    """What a statement says of itself, as SQL."""
    return {
        name: psycopg2.extensions.adapt(value).getquoted().decode()
        for name, value in statement._constants.items()  # noqa: SLF001 - no public way
    }


def _with_values(sql: str) -> str:
    """Bind parameters as pgbench has them: longest names first, none is part of another then."""
    marked = sql
    for number, name in enumerate(sorted(VALUES, key=len, reverse=True)):
        marked = marked.replace(f":{name}", f"\0{number}\0")
    for number, name in enumerate(sorted(VALUES, key=len, reverse=True)):
        marked = marked.replace(f"\0{number}\0", VALUES[name])
    return marked


SCRIPTS: Mapping[str, Callable[[Build, int, str], str]] = {
    "core": core_script,
    "function": function_script,
}
"""By the value of `execution`: made of the build, the asset's id, and SQL for a transfer's id."""
