"""The statements of one transfer as a script for pgbench, made of the engine's own SQL.

So the comparison stays with the engine when its statements change. What the engine computes
between two round trips, pgbench gets from the statement before it.
"""

from collections.abc import Callable, Mapping

from engine.books.core import KEEP_ANSWER, RECORD, WRITE_BALANCES, WRITE_LEGS

AMOUNT_MINOR = 3

ACTORS = r"""
\set payer_number random(0, :payers - 1)
\set payer :first_wallet + :payer_number * :step
\set payee :first_wallet + ((:payer_number + random(1, :payers - 1)) % :payers) * :step
\set owner :first_user + :payer_number * :step
\set key random(1, 9000000000000000)
"""
# In the order of a request: was the token logged out, is the PIN right (it commits itself), then
# the database transaction of claim, locked reading and one statement that writes it all.
ASK = """
SELECT 1 FROM revoked_tokens WHERE jti = md5(CAST(:key AS text));
UPDATE users SET pin_failures = CASE WHEN pin_hash = pin_hash THEN 0 ELSE pin_failures + 1 END,
    pin_locked_until = CASE WHEN pin_hash = pin_hash THEN NULL ELSE now() END
WHERE id = :owner AND pin_hash IS NOT NULL
    AND (pin_locked_until IS NULL OR pin_locked_until <= now())
RETURNING pin_hash = pin_hash;
"""
CLAIM = """
BEGIN;
INSERT INTO idempotency_keys (scope, key, fingerprint)
VALUES (CAST(:owner AS text), CAST(:key AS text), md5(CAST(:key AS text)))
ON CONFLICT DO NOTHING RETURNING key;
"""
READ = r"""
SELECT max(balance) FILTER (WHERE id = :payer) AS payer_balance,
    max(version) FILTER (WHERE id = :payer) AS payer_version,
    max(balance) FILTER (WHERE id = :payee) AS payee_balance,
    max(version) FILTER (WHERE id = :payee) AS payee_version
FROM (SELECT * FROM wallets WHERE id IN (:payer, :payee) ORDER BY id FOR NO KEY UPDATE) AS locked
\gset
\set payer_after :payer_balance - :amount
\set payee_after :payee_balance + :amount
\set payer_next :payer_version + 1
\set payee_next :payee_version + 1
SELECT gen_random_uuid() AS transaction_id \gset
"""
VALUES: Mapping[str, str] = {
    "transaction_ids": "ARRAY[':transaction_id']",
    "types": "ARRAY['TRANSFER']",
    "payers": "ARRAY[:payer]",
    "payees": "ARRAY[:payee]",
    "amounts": "ARRAY[:amount]",
    "keys": "ARRAY[':key']",
    "timestamps": "ARRAY[now()]",
    "leg_transactions": "ARRAY[':transaction_id', ':transaction_id']",
    "leg_wallets": "ARRAY[:payer, :payee]",
    "leg_types": "ARRAY['DEBIT', 'CREDIT']",
    "leg_amounts": "ARRAY[:amount, :amount]",
    "leg_balances": "ARRAY[:payer_after, :payee_after]",
    "leg_versions": "ARRAY[:payer_next, :payee_next]",
    "response_status": "201",
    "response_body": "'{}'",
    "key_scope": "CAST(:owner AS text)",
    "key": "CAST(:key AS text)",
    "wallet_ids": "ARRAY[:payer, :payee]",
    "balances": "ARRAY[:payer_after, :payee_after]",
    "versions": "ARRAY[:payer_next, :payee_next]",
    "expected_versions": "ARRAY[NULL, NULL]",
}


def core_script() -> str:
    """`execution=core` of `hardened`."""
    parts = ", ".join(
        f"part_{number} AS ({sql})" for number, sql in enumerate((RECORD, WRITE_LEGS, KEEP_ANSWER))
    )
    write = _with_values(f"WITH {parts} {WRITE_BALANCES}")
    amount = f"\\set amount {AMOUNT_MINOR}\n"
    return "".join((amount, ACTORS, ASK, CLAIM, READ, write.strip(), ";\nCOMMIT;\n"))


def _with_values(sql: str) -> str:
    """Bind parameters as pgbench has them: longest names first, none is part of another then."""
    marked = sql
    for number, name in enumerate(sorted(VALUES, key=len, reverse=True)):
        marked = marked.replace(f":{name}", f"\0{number}\0")
    for number, name in enumerate(sorted(VALUES, key=len, reverse=True)):
        marked = marked.replace(f"\0{number}\0", VALUES[name])
    return marked


SCRIPTS: Mapping[str, Callable[[], str]] = {"core": core_script}
"""By the value of `execution`; what calls a function of the database belongs here too."""
