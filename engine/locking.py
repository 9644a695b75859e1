"""How wallets are read before a decision and written after it (`locking`, `lock_order`)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.books import Books
from engine.builds import Traits
from engine.defences import Defences
from engine.fragile_locks import SessionLocks, read_stale
from engine.wallets import Change, Posting, WalletState

LOCK_CLASS = "assay-wallet"
"""Prefix of the text whose 64-bit hash is the advisory lock. A collision costs a wait."""
LOCK_NUMBERS = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) "
    "FROM unnest(CAST(:names AS text[])) AS name"
)
PAIR_CLASS = "assay-pair"
LOCK_NUMBER = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
PAIRS = sa.text(
    "SELECT DISTINCT user_id, asset_type_id FROM wallets WHERE id = ANY(CAST(:ids AS bigint[])) "
    "ORDER BY user_id, asset_type_id"
)
LockOrder = Callable[[Iterable[int]], list[tuple[int, ...]]]
"""Wallet ids in groups: one statement reads (and locks) one group."""


def in_request_order(ids: Iterable[int]) -> list[tuple[int, ...]]:
    """Payer, then payee, one statement each: what opposite transfers deadlock on."""
    return [(wallet_id,) for wallet_id in dict.fromkeys(ids)]


def sorted_together(ids: Iterable[int]) -> list[tuple[int, ...]]:
    """All wallets in one statement, smallest id first."""
    return [tuple(sorted(set(ids)))]


def lock_order_of(defences: Defences) -> LockOrder:
    return sorted_together if defences.lock_order == "sorted" else in_request_order


class Locking:
    """What `locking` decides: isolation, what is locked for reading, what a write insists on."""

    def __init__(self, defences: Defences, traits: Traits) -> None:
        locking = defences.locking
        self.locks_rows = locking == "row"
        self._locks_pairs = self.locks_rows and traits.locks_pairs
        self._locks_loaded = locking == "stale"
        self._locks_numbers = locking == "advisory"
        self._session_locks = SessionLocks() if locking == "advisory_session" else None
        self._adds_changes = locking == "conditional"
        self._names_version = locking in {"version", "version_unchecked"}
        self.insists = locking != "version_unchecked"
        """Somebody looks whether a write has found its row."""
        self._serializable = locking == "serializable"

    def begin(self, session: Session) -> None:
        """To be called before the first statement of a database transaction: it is the snapshot.

        The isolation level travels with BEGIN and costs no round trip.
        """
        if self._serializable and not session.in_transaction():
            session.connection(execution_options={"isolation_level": "SERIALIZABLE"})

    @contextmanager
    def around(self, session: Session) -> Iterator[None]:
        """Around a whole unit of work, its commits included."""
        if self._session_locks is None:
            yield
            return
        with self._session_locks.released(session):
            yield

    def before_settling(self, session: Session, name: str) -> None:
        """Lock the number that stands for what is to be settled, such as "hold <id>"."""
        self._lock_numbers_of(session, [f"{LOCK_CLASS} {name}"])

    def before_reading(self, session: Session, wallet_ids: Sequence[int]) -> None:
        """Lock, in this order, the numbers that stand for the wallets."""
        self._lock_numbers_of(session, [f"{LOCK_CLASS} {wallet_id}" for wallet_id in wallet_ids])
        if self._locks_pairs:
            # In a fixed order: those who lock several never wait in a circle.
            for user_id, asset_id in session.execute(PAIRS, {"ids": list(wallet_ids)}).all():
                session.execute(LOCK_NUMBER, {"name": f"{PAIR_CLASS} {user_id} {asset_id}"})

    def _lock_numbers_of(self, session: Session, names: list[str]) -> None:
        if self._locks_numbers:
            session.execute(LOCK_NUMBERS, {"names": names})  # Until COMMIT.
        if self._session_locks is not None:
            self._session_locks.take(session, names)

    def read(
        self, session: Session, books: Books, wallet_ids: Sequence[int]
    ) -> Sequence[WalletState]:
        """Read wallets to decide on them, locked as `locking` wants it, in this order."""
        self.before_reading(session, wallet_ids)
        if self._locks_loaded:
            return read_stale(session, wallet_ids)
        return books.read(wallet_ids, lock=self.locks_rows)

    def expected_version(self, wallet: WalletState) -> int | None:
        return wallet.version if self._names_version else None

    def change(
        self, before: WalletState, after: WalletState, postings: Iterable[Posting]
    ) -> Change | None:
        """What to add to a wallet, where the balance is not written over."""
        if not self._adds_changes:
            return None
        debits = [
            leg.balance_after - before.balance
            for posting in postings
            for leg in posting.legs
            if leg.wallet_id == before.id and leg.entry_type == "DEBIT"
        ]
        return Change(
            balance=after.balance - before.balance,
            versions=after.version - before.version,
            lowest=min(0, *debits) if debits else None,
        )
