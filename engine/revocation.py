"""Tokens that are worthless before they expire: those that were logged out.

The list is in the database, where every process of the service sees it at once. Asking it costs
one look-up by primary key in a statement of its own, without BEGIN and COMMIT.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine.direct import Direct
from engine.identity import Principal
from engine.refusals import UNAUTHENTICATED, Refused
from engine.retry import Retry
from engine.schema import RevokedToken
from engine.unit_of_work import commit

KEPT_AFTER_EXPIRY = timedelta(days=1)
"""Longer than clocks differ."""

REVOKED: Any = RevokedToken.__table__
IS_REVOKED = Direct(sa.select(REVOKED.c.jti).where(REVOKED.c.jti == sa.bindparam("jti")))
REVOKE = insert(REVOKED).on_conflict_do_nothing()
FORGET = sa.delete(REVOKED).where(REVOKED.c.expires_at < sa.bindparam("before"))


class Revocations:
    """`heeded`: otherwise a log-out is only a word, as it is where clients just forget a token."""

    def __init__(
        self,
        database: sa.Engine,
        new_session: Callable[[], Session],
        retry: Retry,
        *,
        heeded: bool,
    ) -> None:
        self._database = database
        self._new_session = new_session
        self._retry = retry
        self._heeded = heeded

    def refuse(self, principal: Principal) -> None:
        """Raises Refused (401) for a token that was logged out. Waits for the database."""
        if principal.token is None or not self._heeded:
            return
        jti = principal.token.jti
        if self._retry.run(lambda: self._is_revoked(jti)):
            raise Refused(UNAUTHENTICATED, "the token was logged out")

    def _is_revoked(self, jti: str) -> bool:
        with self._database.connect() as connection:
            return IS_REVOKED.alone(connection, {"jti": jti}) is not None

    def revoke(self, principal: Principal) -> None:
        """For good; what has expired long ago is swept out meanwhile."""
        if principal.token is None or not self._heeded:
            return
        token = principal.token
        row = {"jti": token.jti, "expires_at": datetime.fromtimestamp(token.expires_s, UTC)}
        self._retry.run(lambda: self._keep(row))

    def _keep(self, row: dict[str, Any]) -> None:
        with self._new_session() as session:
            session.execute(REVOKE, row)
            session.execute(FORGET, {"before": datetime.now(UTC) - KEPT_AFTER_EXPIRY})
            commit(session)
