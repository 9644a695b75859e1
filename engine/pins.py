"""PINs: four digits that every movement takes beside the token (switch `pin`).

Kept as an HMAC under a pepper that the database does not have: four digits are guessed at once
from any hash that can be computed without it. What protects a PIN is that tries are few.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.database import Alone, OpenSession
from engine.defences import DefenceError, Defences
from engine.direct import Direct
from engine.identity import Principal
from engine.refusals import (
    NOT_FOUND,
    PIN_LOCKED,
    PIN_MALFORMED,
    PIN_NOT_SET,
    PIN_REQUIRED,
    PIN_WRONG,
    Refused,
)
from engine.retry import Retry
from engine.schema import User
from engine.settings import Settings
from engine.unit_of_work import commit

PIN = re.compile(r"[0-9]{4}")
MOST_FAILURES = 5
SHORTEST_PEPPER_BYTES = 32

# Made once: building them for each request costs more than running them.
USERS: Any = User.__table__
THIS_USER = USERS.c.id == sa.bindparam("user_id")
IS_RIGHT = USERS.c.pin_hash == sa.bindparam("guess")
IS_OPEN = sa.or_(USERS.c.pin_locked_until.is_(None), USERS.c.pin_locked_until <= sa.func.now())
FAILURES = sa.case((USERS.c.pin_locked_until.is_(None), USERS.c.pin_failures), else_=0) + 1
"""With this try, if it is wrong: after a lock-out the count begins anew."""
LOCKED_UNTIL = sa.func.now() + sa.func.make_interval(0, 0, 0, 0, 0, 0, sa.bindparam("lockout_s"))
NOTHING_TO_LOSE = sa.func.set_config("synchronous_commit", "off", True)
"""A count that a right PIN has set back may come back with a crash: no wrong one is forgotten."""
TRY = Direct(
    sa.update(USERS)
    .where(THIS_USER, USERS.c.pin_hash.is_not(None), IS_OPEN)
    .values(
        pin_failures=sa.case((IS_RIGHT, 0), else_=FAILURES),
        pin_locked_until=sa.case(
            (IS_RIGHT, None), (FAILURES >= MOST_FAILURES, LOCKED_UNTIL), else_=None
        ),
    )
    .returning(IS_RIGHT, sa.case((IS_RIGHT, NOTHING_TO_LOSE)))
)
COUNT = (
    sa.update(USERS)
    .where(THIS_USER)
    .values(
        pin_failures=FAILURES,
        pin_locked_until=sa.case((FAILURES >= MOST_FAILURES, LOCKED_UNTIL), else_=None),
    )
)
FORGIVE = sa.update(USERS).where(THIS_USER).values(pin_failures=0, pin_locked_until=None)
LOOK = sa.select(
    IS_RIGHT.label("right"),
    USERS.c.pin_hash.is_not(None).label("is_set"),
    sa.not_(IS_OPEN).label("locked"),
    USERS.c.pin_failures,
).where(THIS_USER)
FIRST = (
    sa.update(USERS)
    .where(THIS_USER, USERS.c.pin_hash.is_(None))
    .values(pin_hash=sa.bindparam("new"))
)
REPLACE = sa.update(USERS).where(THIS_USER, IS_RIGHT).values(pin_hash=sa.bindparam("new"))


class Judge(Protocol):
    """Decides about one try. Raises Refused."""

    def __call__(self, open_session: OpenSession, guess: dict[str, Any]) -> None: ...


def _counted_with_it(alone: Alone) -> Judge:
    """Count and compare in one statement, which commits itself.

    Nobody hears what a try came to before it is counted, and tries of one user wait for each other
    in the user's row: no number of them at once gets more than five compared.
    """

    def judge(open_session: OpenSession, guess: dict[str, Any]) -> None:
        with alone(open_session) as connection:
            row = TRY.alone(connection, guess)
            if row is None:
                _refuse_uncounted(connection.execute(LOOK, guess).first())
            elif not row[0]:
                raise _wrong()

    return judge


def _in_session(judge_in: Callable[[Session, dict[str, Any]], None]) -> Judge:
    def judge(open_session: OpenSession, guess: dict[str, Any]) -> None:
        with open_session() as session:
            try:
                judge_in(session, guess)
            finally:
                session.rollback()  # What counts was committed; nothing stays open.

    return judge


def _counted_after(session: Session, guess: dict[str, Any]) -> None:
    """Read, compare, count: tries that come together are all compared with what was read first."""
    row = session.execute(LOOK, guess).first()
    if row is None or not row.is_set or row.locked:
        _refuse_uncounted(row)
    elif not row.right:
        session.execute(COUNT, guess)
        commit(session)
        raise _wrong()
    elif row.pin_failures:
        session.execute(FORGIVE, guess)
        commit(session)


def _uncounted(session: Session, guess: dict[str, Any]) -> None:
    row = session.execute(LOOK, guess).first()
    if row is None or not row.is_set:
        _refuse_uncounted(row)
    elif not row.right:
        raise _wrong()


def _refuse_uncounted(row: Any) -> None:
    """A try that was not compared with anything."""
    raise refused_pin("pin-not-set" if row is None or not row.is_set else "pin-locked")


def _wrong() -> Refused:
    return refused_pin("pin-wrong")


def refused_pin(why: str) -> Refused:
    """`why` is the name of the problem."""
    if why == "pin-not-set":
        return Refused(PIN_NOT_SET, "no money moves before a PIN is set: PUT /v1/users/me/pin")
    if why == "pin-locked":
        return Refused(PIN_LOCKED, "too many wrong PINs: try again later", field="X-Pin")
    return Refused(PIN_WRONG, "the PIN is wrong", field="X-Pin")


class Pins:
    """Sets PINs, and asks for them."""

    def __init__(self, settings: Settings, defences: Defences, retry: Retry, alone: Alone) -> None:
        judges: dict[str, Judge | None] = {
            "off": None,
            "unlimited": _in_session(_uncounted),
            "counted_after": _in_session(_counted_after),
            "lockout": _counted_with_it(alone),
        }
        self._judge = judges[defences.pin]
        self._pepper = settings.pin_pepper.encode()
        self._lockout_s = settings.pin_lockout_s
        self._retry = retry
        if self._judge and len(self._pepper) < SHORTEST_PEPPER_BYTES:
            raise DefenceError(
                f"PIN_PEPPER has {len(self._pepper)} bytes; a PIN needs at least "
                f"{SHORTEST_PEPPER_BYTES}: set PIN_PEPPER to a long random value, for good"
            )

    def check(self, open_session: OpenSession, principal: Principal, pin: str | None) -> None:
        """In a database transaction of its own, over before it returns.

        Raises Refused: PIN required, malformed, not set, wrong, or locked.
        """
        judge = self._judge
        if judge is None or principal.user_id is None:
            return  # Where nobody has to say who they are there is nobody to ask.
        guess = self.guess(principal.user_id, pin)
        self._retry.run(lambda: judge(open_session, guess))

    def change(
        self, open_session: OpenSession, user_id: int, *, new: str, current: str | None
    ) -> None:
        """Set the first PIN, or another one for whoever knows the current one. Raises Refused."""
        if self._judge is None:
            raise Refused(NOT_FOUND, "this build asks for no PIN")
        if not PIN.fullmatch(new):
            raise Refused(PIN_MALFORMED, "a PIN is four digits", field="pin")
        values = {"user_id": user_id, "new": self._hash(user_id, new)}
        statement = FIRST
        if current is not None:
            self.check(open_session, Principal(user_id=user_id, role="user"), current)
            values["guess"] = self._hash(user_id, current)
            statement = REPLACE
        if not self._retry.run(lambda: self._set(open_session, statement, values)):
            detail = "a PIN is set: send the current one to change it"
            raise Refused(PIN_REQUIRED, detail, field="X-Pin")

    def _set(self, open_session: OpenSession, statement: sa.Update, values: dict[str, Any]) -> bool:
        with open_session() as session:
            changed: Any = session.execute(statement, values)
            commit(session)
        return bool(changed.rowcount)

    def guess(self, user_id: int, pin: str | None) -> dict[str, Any]:
        """What is to be compared. Raises Refused where that is no PIN."""
        if pin is None:
            raise Refused(PIN_REQUIRED, "send the PIN: X-Pin", field="X-Pin")
        if not PIN.fullmatch(pin):
            raise Refused(PIN_MALFORMED, "a PIN is four digits", field="X-Pin")
        return {
            "user_id": user_id,
            "guess": self._hash(user_id, pin),
            "lockout_s": self._lockout_s,
        }

    def _hash(self, user_id: int, pin: str) -> str:
        return pin_hash(self._pepper, user_id, pin)


def pin_hash(pepper: bytes, user_id: int, pin: str) -> str:
    """What `users.pin_hash` holds."""
    # With the user in it: equal PINs of two users do not look alike.
    return hmac.new(pepper, f"{user_id}:{pin}".encode(), hashlib.sha256).hexdigest()
