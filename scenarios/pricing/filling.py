"""Users, wallets and history by SQL: signing up hashes a password, which takes long on purpose.

Constraints, indexes and triggers stay as they are. The opening balances come from the asset's
system wallet, so that the sum of all balances is zero as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg2.extensions
from psycopg2.extras import execute_values

from engine.pins import pin_hash

PIN = "4711"
OPENING_MINOR = 1_000_000_00
ENOUGH_MINOR = 10**12
AT_ONCE = 100_000
"""Rows of one database transaction."""
TIME_ORDERED_SINCE = 180_000
"""The version of PostgreSQL that has uuidv7()."""

USERS = """
INSERT INTO users (username, role) SELECT %(name)s || ' ' || n, %(role)s
FROM generate_series(%(first)s, %(last)s) AS n
ON CONFLICT DO NOTHING
"""
# A wallet has the number of its user: both are made in one order, and nobody else is there yet.
WALLETS = """
INSERT INTO wallets (user_id, asset_type_id, balance)
SELECT u.id, a.id, %(opening)s FROM users u, asset_types a
WHERE a.code = 'USD' AND u.id >= %(first)s AND u.id <= %(last)s AND u.role = 'user'
ORDER BY u.id
"""
FUND = """
UPDATE wallets SET balance = balance - %(all)s WHERE id = (
    SELECT min(w.id) FROM wallets w JOIN asset_types a ON a.id = w.asset_type_id
    JOIN users u ON u.id = w.user_id
    WHERE a.code = 'USD' AND u.role = 'system' AND w.label = '')
"""
# Not a daily cap: that one adds up the day's payments, of which a benchmark makes ever more.
LIMITS = """
INSERT INTO daily_limits (user_id, asset_type_id, overdraft)
SELECT user_id, asset_type_id, %(enough)s FROM wallets WHERE id = ANY(%(wallets)s)
"""
# Transfers between two of the wallets, with both legs and the key that each came with.
HISTORY = """
WITH paid AS (
    SELECT n, gen_random_uuid() AS id,
        %(first_wallet)s + (n * 7919) %% %(wallets)s AS payer,
        %(first_wallet)s + (n * 7919 + 1 + n %% (%(wallets)s - 1)) %% %(wallets)s AS payee
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
), recorded AS (
    INSERT INTO transactions (id, type, from_wallet_id, to_wallet_id, amount, status, timestamp)
    SELECT id, 'TRANSFER', payer, payee, 1, 'COMPLETED', now() - interval '1 hour' FROM paid
), kept AS (
    INSERT INTO idempotency_keys
        (scope, key, fingerprint, response_status, response_body, created_at)
    SELECT payer || ' POST /v1/transfers', md5('key ' || n), repeat('f', 64), 201,
        json_build_object('id', id, 'status', 'COMPLETED'), now() - interval '1 hour'
    FROM paid
)
INSERT INTO ledger_entries
    (transaction_id, wallet_id, entry_type, amount, balance_after, wallet_version)
SELECT id, payer, 'DEBIT', 1, %(opening)s, 0 FROM paid
UNION ALL SELECT id, payee, 'CREDIT', 1, %(opening)s, 0 FROM paid
"""
Connection = psycopg2.extensions.connection


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What is there: the wallets' ids are consecutive."""

    first_wallet: int
    wallets: int
    owners: tuple[tuple[int, int], ...]
    """(wallet, user) of those that have a PIN and will act."""
    operators: tuple[int, ...]


def fill(  # noqa: PLR0913 - how much of what
    connection: Connection,
    *,
    wallets: int,
    acting: int,
    operators: int,
    minor_per_unit: int,
    pepper: str,
    limited: bool = False,
) -> Filled:
    """`acting` of the wallets, spread over all of them, get owners who can pay.

    `minor_per_unit`: how many minor units the column counts as one (1 or 100). Commits.
    """
    opening = OPENING_MINOR / minor_per_unit
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM users")
        (before,) = cursor.fetchone() or (0,)
        cursor.execute("SELECT coalesce(max(id), 0) FROM wallets")
        (last_wallet,) = cursor.fetchone() or (0,)
        first_user, first_wallet = int(before) + 1, int(last_wallet) + 1
        for first in range(0, wallets, AT_ONCE):
            last = min(first + AT_ONCE, wallets)
            names = {"name": "priced", "role": "user", "first": first, "last": last - 1}
            cursor.execute(USERS, names)
            span = {"first": first_user + first, "last": first_user + last - 1}
            cursor.execute(WALLETS, {**span, "opening": opening})
            cursor.execute(FUND, {"all": opening * (last - first)})
            connection.commit()
        cursor.execute(
            USERS, {"name": "priced operator", "role": "operator", "first": 1, "last": operators}
        )
        cursor.execute("SELECT id FROM users WHERE role = 'operator' AND username LIKE 'priced %'")
        staff = tuple(int(user_id) for (user_id,) in cursor.fetchall())
        step = max(1, wallets // acting)
        owners = tuple(
            (first_wallet + n * step, first_user + n * step) for n in range(min(acting, wallets))
        )
        _set_pins(connection, [*(user for _, user in owners), *staff], pepper)
        if limited:
            _limit(connection, [wallet for wallet, _ in owners], ENOUGH_MINOR / minor_per_unit)
    connection.commit()
    return Filled(first_wallet=first_wallet, wallets=wallets, owners=owners, operators=staff)


def _set_pins(connection: Connection, users: Sequence[int], pepper: str) -> None:
    hashed = [(user, pin_hash(pepper.encode(), user, PIN)) for user in users]
    with connection.cursor() as cursor:
        execute_values(
            cursor,
            "UPDATE users SET pin_hash = new.pin FROM (VALUES %s) AS new (id, pin) "
            "WHERE users.id = new.id",
            hashed,
            page_size=len(hashed),
        )


def _limit(connection: Connection, wallets: list[int], enough: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE wallets SET limited = true WHERE id = ANY(%s)", (wallets,))
        cursor.execute(LIMITS, {"enough": enough, "wallets": wallets})


def fill_history(connection: Connection, filled: Filled, *, first: int, transfers: int) -> None:
    """So many transfers with legs and keys, beside balances that stay as they are. Commits.

    `first` is the number of the first one: another call goes on behind the last.
    """
    # As the engine's own are, where the server can make them.
    time_ordered = connection.info.server_version >= TIME_ORDERED_SINCE
    history = HISTORY.replace("gen_random_uuid()", "uuidv7()") if time_ordered else HISTORY
    with connection.cursor() as cursor:
        for begin in range(first, first + transfers, AT_ONCE):
            last = min(begin + AT_ONCE, first + transfers) - 1
            cursor.execute(
                history,
                {
                    "first": begin,
                    "last": last,
                    "first_wallet": filled.first_wallet,
                    "wallets": filled.wallets,
                    "opening": OPENING_MINOR,
                },
            )
            connection.commit()
