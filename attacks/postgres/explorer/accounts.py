"""Keeps the footprints of all sessions of one service, measuring locks only where it must."""

from attacks.postgres.footprint import Footprint, SessionFootprints
from attacks.postgres.grammar import parse
from attacks.postgres.learned_locks import LearnedLocks
from attacks.postgres.observer import Observer
from attacks.postgres.trace import Reply, SessionInfo, Step

ENDS = frozenset({"commit", "rollback", "rollback to", "several", "unknown"})


class Accounts:
    """Implements `forcing.Footprints`; `is_choice` is the race gate's question."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._default_isolation = observer.default_isolation()
        self._learned = LearnedLocks()
        self._sessions: dict[int, SessionFootprints] = {}
        self.underestimated = False
        """A transaction held more than its steps' footprints said; the caller sets it back."""

    def is_choice(self, session: SessionInfo, step: Step) -> bool:
        return self._of(session).is_choice(step)

    def before_end(self, session: SessionInfo, step: Step) -> None:
        """The last moment to see everything that the transaction holds."""
        if session.pid is None or step.status_before != "T":
            return
        footprints = self._of(session)
        may_end = bool(ENDS & set(parse(step.sql).kinds))
        if may_end and not footprints.verify(self._observer.locks(session.pid)):
            self.underestimated = True

    def after(self, session: SessionInfo, step: Step, reply: Reply) -> Footprint:
        footprints = self._of(session)
        if reply.lost:
            del self._sessions[session.number]
            return footprints.disconnected()
        locks = None
        open_ = reply.status != "I" and reply.sqlstate is None
        if session.pid is not None and open_ and footprints.needs_measuring(step):
            locks = self._observer.locks(session.pid)
        return footprints.after(step, reply, locks, reply.status)

    def _of(self, session: SessionInfo) -> SessionFootprints:
        if session.number not in self._sessions:
            self._sessions[session.number] = SessionFootprints(
                self._observer.purity,
                session.settings.get("default_transaction_isolation", self._default_isolation),
                reach=self._observer.reach,
                learned=self._learned,
            )
        return self._sessions[session.number]
