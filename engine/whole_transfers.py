"""A transfer in one round trip: one call of the database's procedure (`execution=function`).

The procedure asks and decides what `Revocations`, `Pins`, `Keys`, `Locking`, `Permissions`,
`decisions` and `limits` do elsewhere, in the same order and under the same locks; both may work on
one database at once. The words of refusals stay here: the procedure only chooses among them.
"""

import json
import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from engine.assets import Assets
from engine.balance_cache import BalanceCache
from engine.database import OpenSession
from engine.decisions import TAKES_NO_PAYMENTS, time_ordered_uuid
from engine.idempotency import KeyedRequest
from engine.identity import Principal
from engine.money import LARGEST_AMOUNT
from engine.pins import MOST_FAILURES, refused_pin
from engine.refusals import (
    ASSET_MISMATCH,
    BALANCE_LIMIT,
    DAILY_LIMIT,
    FORBIDDEN,
    INSUFFICIENT_FUNDS,
    KEY_IN_FLIGHT,
    KEY_REUSED,
    NOT_FOUND,
    OUTCOME_UNKNOWN,
    OVERDRAFT_LIMIT,
    UNAUTHENTICATED,
    WALLET_INACTIVE,
    Problem,
    Refused,
)
from engine.retry import Retry
from engine.wallets import Answer, Movement, WalletState

VALUES = 18
RESULTS = 14
CALL = f"CALL whole_transfer({', '.join(['%s'] * VALUES + ['NULL'] * RESULTS)})"
BETWEEN = "\x1f"
"""Unit separator: it is in none of our words, and JSON writes it as an escape."""

REFUSALS: tuple[tuple[Problem, str, str | None], ...] = (
    (FORBIDDEN, "wallet <wallet> is not yours", None),
    (FORBIDDEN, "wallet <wallet> is the service's own", "wallet_id"),
    (NOT_FOUND, "there is no wallet <wallet>", "wallet_id"),
    (WALLET_INACTIVE, "wallet <wallet> is <status>", None),
    (WALLET_INACTIVE, TAKES_NO_PAYMENTS, None),
    (ASSET_MISMATCH, "the wallets do not hold that asset", "asset"),
    (INSUFFICIENT_FUNDS, "wallet <wallet> does not hold that much", None),
    (BALANCE_LIMIT, "wallet <wallet> cannot hold that much", None),
    (OVERDRAFT_LIMIT, "the wallets together do not hold that much", None),
    (DAILY_LIMIT, "that is more than may be paid out in one day", None),
)
"""In the order of the procedure's numbers, which begin with 1."""


class RefusedByCall(Refused):
    """The database was asked, also for the token: nothing that comes before is left to look at."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A PIN, hashed, and how long too many wrong ones lock it."""

    hashed: str
    lockout_s: int


@dataclass(frozen=True, kw_only=True)
class TransferOrder:
    """One request for a transfer."""

    principal: Principal
    jti: str | None
    """Of the token, where log-outs are heeded."""
    guess: Guess
    request: KeyedRequest
    movement: Movement
    request_id: str
    present: Callable[[str, str], dict[str, Any]]
    """The body of the answer, from the transaction's id and its timestamp."""
    present_refusal: Callable[[Refused, str], Answer]
    """Given also the request's id. The same function for all requests with this path."""


class _Row(NamedTuple):
    """What the procedure returns."""

    verdict: str
    status: int
    body: str
    payer_balance: int
    payer_version: int
    payer_allow_negative: bool
    payer_label: str
    payer_limited: bool
    payee_user: int
    payee_balance: int
    payee_version: int
    payee_allow_negative: bool
    payee_label: str
    payee_limited: bool


class WholeTransfers:
    def __init__(
        self, database: sa.Engine, *, assets: Assets, cache: BalanceCache, retry: Retry
    ) -> None:
        self._database = database
        self._assets = assets
        self._cache = cache
        self._retry = retry
        # No more of them can be over at once than the pool holds.
        self._most_connections = getattr(database.pool, "size", lambda: 1)() + 1

    def execute(self, open_session: OpenSession, order: TransferOrder) -> Answer:
        """Move the money, or repeat the answer of the same key.

        Raises Refused, or the database's error when nothing was committed.
        """
        asset_id = self._asset_id(open_session, order.movement.asset or "")
        cached_before = self._cache.begin()
        values = _values(order, asset_id)
        row = self._retry.run(lambda: self._attempt(order.movement, values))
        if row.verdict == "done":
            # Redis only now: never while a row lock or a connection is held.
            self._cache.after_commit(_changed(order, asset_id or 0, row), cached_before)
        elif row.verdict not in ("refused", "replayed"):
            raise _refusal(row.verdict)
        return Answer(
            status=row.status, body=orjson.loads(row.body), replayed=row.verdict == "replayed"
        )

    def _attempt(self, movement: Movement, values: Sequence[Any]) -> _Row:
        try:
            return self._call(values)
        except RefusedByCall:
            # Perhaps they have changed: what is cached of them is not to be believed.
            for wallet_id in movement.wallet_ids:
                self._cache.forget(wallet_id)
            raise

    def _asset_id(self, open_session: OpenSession, code: str) -> int | None:
        """None for a code that there is not: no wallet holds that. As a rule it is known here."""
        if asset := self._assets.known_code(code):
            return asset.id
        with open_session() as session:
            asset = self._assets.find(session, code)
            return asset.id if asset else None

    def _call(self, values: Sequence[Any]) -> _Row:
        raw = self._connection()
        connection: Any = raw.dbapi_connection
        try:
            # psycopg2's switch and not SQLAlchemy's isolation level, which asks the server to be
            # set back.
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(CALL, values)
                row = _Row(*cursor.fetchone())
            connection.autocommit = False
        except psycopg2.Error as error:
            if connection.closed or not error.pgcode:
                raw.invalidate(error)
                raise RefusedByCall(
                    OUTCOME_UNKNOWN, "the connection to the database was lost while it committed"
                ) from error
            connection.autocommit = False
            raise _as_sqlalchemys(error) from error
        except BaseException:
            raw.invalidate()  # Whoever took it next would commit statement after statement.
            raise
        finally:
            raw.close()
        return row

    def _connection(self) -> sa.PoolProxiedConnection:
        """One that the server has not closed meanwhile, as it does when it is stopped.

        Who finds that out by the call does not know what became of it. Raises DBAPIError or the
        pool's time-out.
        """
        try:
            raw = self._database.raw_connection()
            for _ in range(self._most_connections):
                if not _is_over(raw):
                    break
                raw.invalidate()
                raw = self._database.raw_connection()
        except psycopg2.Error as error:
            raise _as_sqlalchemys(error) from error
        return raw


def _is_over(raw: sa.PoolProxiedConnection) -> bool:
    """Nothing was asked: what is there to read is a farewell."""
    waiting = select.poll()
    waiting.register(raw.dbapi_connection, select.POLLIN)  # type: ignore[arg-type]
    return bool(waiting.poll(0))


def _as_sqlalchemys(error: psycopg2.Error) -> BaseException:
    """As the session's errors are: what is run again and how it is told goes by that."""
    return DBAPIError.instance(CALL, None, error, psycopg2.Error)


def _values(order: TransferOrder, asset_id: int | None) -> tuple[Any, ...]:
    """Of the procedure's parameters, in their order."""
    movement, request = order.movement, order.request
    transaction_id = str(time_ordered_uuid())
    return (
        order.jti,
        order.principal.user_id,
        order.principal.role == "operator",
        order.guess.hashed,
        MOST_FAILURES,
        order.guess.lockout_s,
        request.scope,
        request.key,
        request.fingerprint,
        movement.from_wallet_id,
        movement.to_wallet_id,
        movement.amount,
        asset_id,
        LARGEST_AMOUNT,
        transaction_id,
        json.dumps(order.present(transaction_id, "<timestamp>")),
        words(order.present_refusal),
        order.request_id,
    )


@lru_cache(maxsize=8)
def words(present: Callable[[Refused, str], Answer]) -> str:
    """Every refusal that the procedure may choose, as it is to be stored and sent."""
    answers = (
        present(Refused(problem, detail, field=field), "<request>")
        for problem, detail, field in REFUSALS
    )
    return BETWEEN.join(f"{answer.status:03}{json.dumps(answer.body)}" for answer in answers)


def _changed(order: TransferOrder, asset_id: int, row: _Row) -> tuple[WalletState, WalletState]:
    movement = order.movement
    payer = WalletState(
        id=movement.from_wallet_id or 0,
        user_id=order.principal.user_id or 0,
        asset_type_id=asset_id,
        balance=row.payer_balance,
        version=row.payer_version,
        status="active",
        allow_negative=row.payer_allow_negative,
        label=row.payer_label,
        limited=row.payer_limited,
    )
    payee = WalletState(
        id=movement.to_wallet_id or 0,
        user_id=row.payee_user,
        asset_type_id=asset_id,
        balance=row.payee_balance,
        version=row.payee_version,
        status="active",
        allow_negative=row.payee_allow_negative,
        label=row.payee_label,
        limited=row.payee_limited,
    )
    return payer, payee


def _refusal(verdict: str) -> Refused:
    """What is never stored under the key."""
    if verdict.startswith("pin-"):
        refusal = refused_pin(verdict)
        return RefusedByCall(refusal.problem, refusal.detail, field=refusal.field)
    problem, detail = {
        "revoked": (UNAUTHENTICATED, "the token was logged out"),
        "in-flight": (KEY_IN_FLIGHT, "the same request is being processed: ask again shortly"),
        "unanswered": (KEY_IN_FLIGHT, "a request with this Idempotency-Key has not been answered"),
        "reused": (KEY_REUSED, "this Idempotency-Key was used with another payload"),
    }[verdict]
    return RefusedByCall(problem, detail)
