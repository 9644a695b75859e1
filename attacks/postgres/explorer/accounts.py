"""Keeps the footprints of all sessions of one service, measuring locks only where it must."""

from attacks.postgres.footprint import (
    Footprint,
    SessionFootprints,
    isolation_of_start,
    together,
)
from attacks.postgres.observer import Observer
from attacks.postgres.trace import Reply, SessionInfo, Step


class Accounts:
    """Implements `race_gate.Footprints`."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._sessions: dict[int, SessionFootprints] = {}

    def is_choice(self, session: SessionInfo, step: Step) -> bool:
        return self._of(session).is_choice(step)

    def needs_locks(self, session: SessionInfo, step: Step) -> bool:
        return session.pid is not None and self._of(session).needs_measuring(step)

    @property
    def missed_steps(self) -> bool:
        """A session had begun before anybody looked: what it set then is not known."""
        return any(footprints.missed_steps for footprints in self._sessions.values())

    def closed(self, session: SessionInfo) -> None:
        self._sessions.pop(session.number, None)

    def after(self, session: SessionInfo, step: Step, reply: Reply) -> Footprint:
        """Of a step whose reply is there; the locks of its transaction are still held."""
        footprints = self._of(session)
        if reply.lost:
            # What it had sent may have come through: both that and the end of the session count.
            last = footprints.after(step, reply, None, None)
            self._sessions.pop(session.number, None)
            return together(last, footprints.disconnected())
        locks = None
        open_ = reply.status != "I" and reply.sqlstate is None
        if session.pid is not None and open_ and footprints.needs_measuring(step):
            locks = self._observer.locks(session.pid)
        return footprints.after(step, reply, locks, reply.status)

    def _of(self, session: SessionInfo) -> SessionFootprints:
        if session.number not in self._sessions:
            self._sessions[session.number] = SessionFootprints(
                self._observer.purity,
                isolation_of_start(
                    session.settings, self._observer.default_isolation(session.user or None)
                ),
                reach=self._observer.reach,
                row_key=self._observer.row_key,
            )
        return self._sessions[session.number]
