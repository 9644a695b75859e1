"""Limits over all wallets that a user has of one asset (switch `limit_lock`).

The daily cap bounds what goes out to others within a day of UTC. The joint overdraft lets each of
the wallets go below zero, as long as all of them together stay above minus the limit. A wallet that
is under either is flagged (`WalletState.limited`), so that nobody else pays for the check.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine.assets import SERVICE_ROLES
from engine.decisions import Decision
from engine.defences import Defences
from engine.refusals import DAILY_LIMIT, FORBIDDEN, NOT_FOUND, OVERDRAFT_LIMIT, OVERDRAWN, Refused
from engine.schema import Amount, DailyLimit, User, Wallet
from engine.unit_of_work import commit
from engine.wallets import Posting, WalletState

LimitCheck = Callable[[Session, Decision], None]
"""To be called when everything is decided and nothing is written. Raises Refused (402)."""

LIMITS: Any = DailyLimit.__table__
# FOR NO KEY UPDATE: opening a wallet, whose foreign key locks the owner for sharing, need not wait.
LOCK_OWNERS = sa.text(
    "SELECT id FROM users WHERE id = ANY(CAST(:owners AS bigint[])) ORDER BY id FOR NO KEY UPDATE"
)
READ_LIMITS = sa.select(LIMITS).where(LIMITS.c.user_id.in_(sa.bindparam("owners", expanding=True)))
HELD = sa.text(
    "SELECT coalesce(sum(balance), 0) FROM wallets "
    "WHERE user_id = :user_id AND asset_type_id = :asset_type_id"
)
SPENT = sa.text(
    "SELECT coalesce(sum(t.amount), 0) FROM transactions t "
    "JOIN wallets payer ON payer.id = t.from_wallet_id "
    "LEFT JOIN wallets payee ON payee.id = t.to_wallet_id "
    "WHERE payer.user_id = :user_id AND payer.asset_type_id = :asset_type_id "
    "AND t.timestamp >= :day AND t.status <> 'FAILED' "
    "AND payee.user_id IS DISTINCT FROM payer.user_id "
    "AND NOT EXISTS (SELECT FROM transactions back WHERE back.reverses_transaction_id = t.id) "
    "AND NOT EXISTS (SELECT FROM holds h WHERE h.id = t.id AND h.status = 'released')"
)
"""What came back does not count. It may come back while this is read, past the owner's lock: then
the sum is too large for a moment, and never too small."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What an operator has set for a user's wallets of one asset; None is no such limit."""

    user_id: int
    asset_type_id: int
    daily_cap: Amount | None
    overdraft: Amount | None

    def covers(self, wallet: WalletState | None) -> bool:
        mine = (self.user_id, self.asset_type_id)
        return wallet is not None and (wallet.user_id, wallet.asset_type_id) == mine


def limit_check_of(defences: Defences) -> LimitCheck:
    """`owner`: one payment of a user after the other; `payer`: whatever the payers' rows allow."""
    if defences.limit_lock == "owner":
        return _check_under_owners_lock
    return _check


def _check_under_owners_lock(session: Session, decision: Decision) -> None:
    owners = _limited_owners(decision)
    if owners:
        # After the wallets where reading locks them. Elsewhere they are written later, so that two
        # may wait for each other: whoever loses then is run again (`retry`).
        session.execute(LOCK_OWNERS, {"owners": owners})
    _keep(session, decision, owners)


def _check(session: Session, decision: Decision) -> None:
    _keep(session, decision, _limited_owners(decision))


def _limited_owners(decision: Decision) -> list[int]:
    payers = (decision.before.get(p.movement.from_wallet_id or 0) for p in decision.postings)
    return sorted({w.user_id for w in payers if w is not None and w.limited})


def _keep(session: Session, decision: Decision, owners: Sequence[int]) -> None:
    if not owners:
        return
    for row in session.execute(READ_LIMITS, {"owners": owners}).mappings().all():
        limit = Limit(**row)
        outgoing = [p for p in decision.postings if _goes_out(p, limit, decision)]
        if outgoing and limit.overdraft is not None:
            _keep_overdraft(session, limit, limit.overdraft, decision)
        if outgoing and limit.daily_cap is not None:
            _keep_daily_cap(session, limit, limit.daily_cap, outgoing)


def _keep_overdraft(session: Session, limit: Limit, overdraft: Amount, decision: Decision) -> None:
    """Judged after each movement, as each could be the last."""
    held = _total(session, HELD, limit)
    for posting in decision.postings:
        movement = posting.movement
        if limit.covers(decision.before.get(movement.to_wallet_id or 0)):
            held += movement.amount
        if limit.covers(decision.before.get(movement.from_wallet_id or 0)):
            held -= movement.amount
            if _goes_out(posting, limit, decision) and held < -overdraft:
                raise Refused(OVERDRAFT_LIMIT, "the wallets together do not hold that much")


def _keep_daily_cap(
    session: Session, limit: Limit, daily_cap: Amount, outgoing: Sequence[Posting]
) -> None:
    day = _day(outgoing[0].timestamp)
    spent = _total(session, SPENT, limit, day=day)
    if spent + sum(posting.movement.amount for posting in outgoing) > daily_cap:
        raise Refused(DAILY_LIMIT, "that is more than may be paid out in one day")


def _goes_out(posting: Posting, limit: Limit, decision: Decision) -> bool:
    """Money that stays with its owner does not count."""
    movement = posting.movement
    return limit.covers(decision.before.get(movement.from_wallet_id or 0)) and not limit.covers(
        decision.before.get(movement.to_wallet_id or 0)
    )


def _total(session: Session, query: sa.TextClause, limit: Limit, **values: Any) -> Amount:
    values |= {"user_id": limit.user_id, "asset_type_id": limit.asset_type_id}
    return cast("Amount", session.execute(query, values).scalar_one())


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def limits_of(session: Session, user_id: int) -> list[Limit]:
    rows = session.execute(READ_LIMITS.order_by(LIMITS.c.asset_type_id), {"owners": [user_id]})
    return [Limit(**row) for row in rows.mappings()]


def set_limit(session: Session, limit: Limit) -> None:
    """From the next payment on; waits for those under way. Both None: there is no limit any more.

    Raises Refused: no such user, the service itself, or a wallet is overdrawn and may be no longer.
    To be run again after a deadlock: see below.
    """
    wallets = sa.select(Wallet.balance).where(
        Wallet.user_id == limit.user_id, Wallet.asset_type_id == limit.asset_type_id
    )
    # Wallets, then their owner, as payments under row locks do. Other builds' payments lock the
    # owner before they write their wallets, and `_store` also writes a wallet that was opened
    # meanwhile: either may end in a deadlock with a payment.
    session.execute(wallets.order_by(Wallet.id).with_for_update(key_share=True))
    # FOR UPDATE waits for wallets that are being opened, and these for us.
    role = session.scalar(sa.select(User.role).where(User.id == limit.user_id).with_for_update())
    if role is None:
        raise Refused(NOT_FOUND, f"there is no user {limit.user_id}")
    if role in SERVICE_ROLES:
        raise Refused(FORBIDDEN, "the service's own wallets have no limits")
    if limit.overdraft is None and _any_negative(session.scalars(wallets)):
        raise Refused(OVERDRAWN, "a wallet is overdrawn: it has to be paid back first")
    _store(session, limit)
    commit(session)


def _any_negative(balances: Iterable[Amount]) -> bool:
    return any(balance < 0 for balance in balances)


def _store(session: Session, limit: Limit) -> None:
    mine = (LIMITS.c.user_id == limit.user_id) & (LIMITS.c.asset_type_id == limit.asset_type_id)
    kept = limit.daily_cap is not None or limit.overdraft is not None
    if kept:
        values = {"daily_cap": limit.daily_cap, "overdraft": limit.overdraft}
        row = {"user_id": limit.user_id, "asset_type_id": limit.asset_type_id, **values}
        upsert = insert(LIMITS).values(row)
        session.execute(
            upsert.on_conflict_do_update(index_elements=["user_id", "asset_type_id"], set_=values)
        )
    else:
        session.execute(sa.delete(LIMITS).where(mine))
    session.execute(
        sa.update(Wallet)
        .where(Wallet.user_id == limit.user_id, Wallet.asset_type_id == limit.asset_type_id)
        .values(limited=kept, allow_negative=limit.overdraft is not None)
        .execution_options(synchronize_session=False)
    )


def flag_new_wallet(session: Session, wallet: Wallet) -> None:
    """To be called after the wallet's INSERT, whose foreign key keeps `set_limit` waiting."""
    mine = (LIMITS.c.user_id == wallet.user_id) & (LIMITS.c.asset_type_id == wallet.asset_type_id)
    limit = session.execute(sa.select(LIMITS).where(mine)).first()
    if limit is not None:
        wallet.limited = True
        wallet.allow_negative = limit.overdraft is not None
