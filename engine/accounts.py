"""Users and wallets: signing up, logging in, opening and freezing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.assets import Asset, Assets
from engine.limits import flag_new_wallet
from engine.locking import Locking
from engine.passwords import Passwords
from engine.refusals import (
    ALREADY_EXISTS,
    CHANGED_MEANWHILE,
    NOT_FOUND,
    UNAUTHENTICATED,
    WALLET_NOT_EMPTY,
    Refused,
)
from engine.schema import Hold, User, Wallet
from engine.service_wallets import refuse_service_user, service_wallet
from engine.unit_of_work import commit

EMPTY: Mapping[str, Any] = MappingProxyType({})
OPERATOR = "operator"
RESERVED = frozenset({OPERATOR, "system", "escrow"})
"""Names that nobody can sign up with."""
TAKEN = "that username is taken"
WALLET_TAKEN = "the user has a wallet of that asset and label"
OPERATOR_LOCK = 0x_A55A_0B05
"""Advisory lock: engines that start together make one operator."""


@dataclass(frozen=True, kw_only=True)
class UserView:
    id: int
    username: str
    email: str
    role: str


def sign_up(  # noqa: PLR0913 - what a user is made of
    session: Session,
    passwords: Passwords,
    *,
    username: str,
    email: str,
    password: str | None,
    role: str = "user",
    look_first: bool = False,
) -> UserView:
    """Create a user. Raises Refused when the name is taken.

    `look_first` is for a database that does not refuse it itself.
    """
    if username.lower() in RESERVED and role == "user":
        raise Refused(ALREADY_EXISTS, TAKEN)
    if look_first:
        _refuse_taken(session, sa.select(User.id).where(User.username == username), TAKEN)
    user = User(
        username=username,
        email=email,
        role=role,
        password_hash=passwords.hashed(password) if password else None,
    )
    session.add(user)
    _insert(session, TAKEN)
    return _view(user)


def log_in(session: Session, passwords: Passwords, *, username: str, password: str) -> UserView:
    """The user with this name and password. Raises Refused (401), the same for both mistakes."""
    user = session.scalar(sa.select(User).where(User.username == username).order_by(User.id))
    session.expunge_all()
    session.rollback()  # The hash takes its time: not with a connection in hand.
    if not passwords.fits(user.password_hash if user else None, password) or user is None:
        raise Refused(UNAUTHENTICATED, "username or password is wrong")
    return _view(user)


def user_by_id(session: Session, user_id: int) -> UserView:
    user = session.get(User, user_id)
    if user is None:
        raise Refused(NOT_FOUND, f"there is no user {user_id}")
    return _view(user)


def list_users(session: Session, *, limit: int) -> list[UserView]:
    return [_view(user) for user in session.scalars(sa.select(User).order_by(User.id).limit(limit))]


def ensure_operator(session: Session, passwords: Passwords, password: str) -> None:
    """An operator to begin with; its password is set anew at each start."""
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(OPERATOR_LOCK)))
    operator = session.scalar(sa.select(User).where(User.role == "operator").order_by(User.id))
    if operator is None:
        sign_up(session, passwords, username=OPERATOR, email="", password=password, role="operator")
    else:
        operator.password_hash = passwords.hashed(password)
        commit(session)


def open_wallet(  # noqa: PLR0913 - what a wallet is made of
    session: Session,
    *,
    user_id: int,
    asset: Asset,
    label: str = "",
    look_first: bool,
    columns: Mapping[str, Any] = EMPTY,
) -> Wallet:
    """An empty wallet.

    `columns` are taken over as they are, where the row has them. Raises Refused when the user has
    one of that asset and label already, or is the service itself.
    """
    refuse_service_user(asset, user_id)
    if look_first:
        same = sa.select(Wallet.id).where(
            Wallet.user_id == user_id, Wallet.asset_type_id == asset.id, Wallet.label == label
        )
        _refuse_taken(session, same, WALLET_TAKEN)
    wallet = Wallet(
        user_id=user_id,
        asset_type_id=asset.id,
        balance=0,
        version=0,
        status="active",
        allow_negative=False,
        label=label,
        limited=False,
    )
    for name in columns.keys() & Wallet.__table__.columns.keys():
        setattr(wallet, name, columns[name])
    session.add(wallet)
    _insert(session, WALLET_TAKEN, then=lambda: flag_new_wallet(session, wallet))
    return wallet


def find_wallet(session: Session, wallet_id: int, *, lock: bool = False) -> Wallet | None:
    return session.get(Wallet, wallet_id, with_for_update=lock or None, populate_existing=True)


def wallets_of(session: Session, user_id: int | None, *, limit: int) -> list[Wallet]:
    query = sa.select(Wallet).order_by(Wallet.id).limit(limit)
    if user_id is not None:
        query = query.where(Wallet.user_id == user_id)
    return list(session.scalars(query))


def set_status(  # noqa: PLR0913 - what decides whether it may be changed
    session: Session,
    wallet_id: int,
    status: str,
    locking: Locking,
    assets: Assets,
    *,
    expected: Callable[[Wallet], bool] = lambda _: True,
) -> Wallet:
    """Freeze, close or activate; waits for movements of this wallet that are under way.

    Raises Refused when there is no such wallet, when it is the service's own, when it is not what
    the client has `expected`, or when one is to be closed that holds money or to which money may
    come from a hold.
    """
    # READ COMMITTED in every build: what waits here for a movement sees what that one left, and a
    # serializable movement that comes second fails on the row that was changed.
    with locking.around(session):
        locking.before_reading(session, [wallet_id])
        wallet = find_wallet(session, wallet_id, lock=True)
        if wallet is None:
            raise Refused(NOT_FOUND, f"there is no wallet {wallet_id}")
        asset = assets.by_id(session, wallet.asset_type_id)
        if wallet.user_id in asset.service_user_ids:
            raise service_wallet(wallet_id)
        if not expected(wallet):
            raise Refused(CHANGED_MEANWHILE, "read the wallet again", field="If-Match")
        if status == "closed" and (wallet.balance != 0 or _has_set_aside(session, wallet_id)):
            raise Refused(WALLET_NOT_EMPTY, f"wallet {wallet_id} is not empty")
        wallet.status = status
        commit(session)
    return wallet


def _has_set_aside(session: Session, wallet_id: int) -> bool:
    side = sa.or_(Hold.from_wallet_id == wallet_id, Hold.to_wallet_id == wallet_id)
    active = sa.select(Hold.id).where(side, Hold.status == "active").limit(1)
    return session.execute(active).first() is not None


def _refuse_taken(session: Session, query: sa.Select[Any], taken: str) -> None:
    if session.scalars(query).first() is not None:
        raise Refused(ALREADY_EXISTS, taken)


def _insert(session: Session, taken: str, then: Callable[[], None] = lambda: None) -> None:
    try:
        session.flush()
        then()
        commit(session)
    except IntegrityError as error:
        session.rollback()
        if getattr(error.orig, "pgcode", "") == "23505":
            raise Refused(ALREADY_EXISTS, taken) from error
        raise Refused(NOT_FOUND, "there is no such user or asset") from error


def _view(user: User) -> UserView:
    return UserView(id=user.id, username=user.username, email=user.email, role=user.role)
