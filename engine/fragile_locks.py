"""Locks that do not protect, or that outlive their request, as they are often written."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from engine.schema import Wallet
from engine.wallets import WalletState

LOCK = sa.text(
    "SELECT pg_advisory_lock(hashtextextended(name, 0)) FROM unnest(CAST(:names AS text[])) AS name"
)
UNLOCK = sa.text(
    "SELECT pg_advisory_unlock(hashtextextended(name, 0)) "
    "FROM unnest(CAST(:names AS text[])) AS name"
)
TAKEN = "session locks"
"""Where a session notes the names that it has locked."""


def read_stale(session: Session, wallet_ids: Sequence[int]) -> Sequence[WalletState]:
    """Load wallets, as a look at their owners does, and then lock them.

    The lock waits for whoever changes them, and the rows come back as they are by then. But the
    session has these objects already, and without `populate_existing` it keeps their attributes
    (SQLAlchemy, "ORM Querying Guide", Populate Existing).
    """
    query = sa.select(Wallet).where(Wallet.id.in_(wallet_ids)).order_by(Wallet.id)
    loaded = list(session.scalars(query))
    session.execute(query.with_for_update(key_share=True)).all()
    return [WalletState.of(wallet) for wallet in loaded]


class SessionLocks:
    """Advisory locks of the database session, which COMMIT and ROLLBACK leave alone."""

    def take(self, session: Session, names: Sequence[str]) -> None:
        session.execute(LOCK, {"names": names})
        session.info.setdefault(TAKEN, []).extend(names)

    @contextmanager
    def released(self, session: Session) -> Iterator[None]:
        """Unlock at the end, whatever happened, on the connection that took the locks.

        After an error of the database the transaction has failed and takes no more statements, the
        unlock neither. The connection goes back to the pool with its locks.
        """
        engine = session.get_bind()
        assert isinstance(engine, sa.Engine), "a session of the engine's own"
        with engine.connect() as connection:
            # Else each COMMIT gives the connection back, and the unlock may get another one.
            session.bind = connection
            try:
                yield
            finally:
                if names := session.info.pop(TAKEN, None):
                    with suppress(SQLAlchemyError):
                        session.execute(UNLOCK, {"names": names})
                with suppress(SQLAlchemyError):  # What was committed stays so.
                    session.rollback()
                session.bind = engine
