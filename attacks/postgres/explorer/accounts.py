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
    """Implements `forcing.Footprints`; `is_choice` is the race gate's question."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._sessions: dict[int, SessionFootprints] = {}

    def is_choice(self, session: SessionInfo, step: Step) -> bool:
        return self._of(session).is_choice(step)

    def before_end(self, session: SessionInfo, step: Step) -> None:
        """Nothing: the catalogs say what a statement may touch."""

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
            )
        return self._sessions[session.number]
