"""Spares most measurements: what a statement locks is learned, then only verified.

Asking the server after every statement costs more than the statement. The same text at the same
isolation level usually locks the same relations, so its growth of locks is measured the first few
times. Afterwards one query at the parked COMMIT verifies the whole database transaction: locks are
kept until it ends, so nothing that was touched can be missing there (except what a subtransaction
locked and gave back).
"""

from collections import Counter

from attacks.postgres.relations import Locks

MEASURED_TIMES = 3


class LearnedLocks:
    """Of all sessions of one service. Locks are handed in; nothing is asked here."""

    def __init__(self, measured_times: int = MEASURED_TIMES) -> None:
        self._measured_times = measured_times
        self._times: Counter[str] = Counter()
        self._growth: dict[str, Locks] = {}

    def needs_measuring(self, sql_key: str) -> bool:
        """True for the first few times, and again after `restart`."""
        return self._times[sql_key] < self._measured_times

    def learn(self, sql_key: str, growth: Locks) -> None:
        """One measurement: the locks that the session has gained by the statement."""
        self._growth[sql_key] = self.known(sql_key) | growth
        self._times[sql_key] += 1

    def known(self, sql_key: str) -> Locks:
        """Everything that this statement was ever seen to gain."""
        return self._growth.get(sql_key, frozenset())

    def verify(self, expected: Locks, actual: Locks) -> bool:
        """Whether the transaction holds nothing that was not learned.

        If it does, its steps did more than their footprints say: they have to count as unknown.
        """
        return actual <= expected

    def restart(self, sql_keys: frozenset[str]) -> None:
        """Learn these anew; what is known of them already stays."""
        for sql_key in sql_keys:
            self._times[sql_key] = 0
