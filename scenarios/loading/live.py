"""The invariants so far: judged against the database while the load goes on."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from reports.load import SoFar
from scenarios.scale import ArchiveError, LiveAudit
from scenarios.scale import SoFar as Judged

EVERY_S = 3.0
SHARE_OF_TIME = 0.05
"""Judging takes no more of the time than that, since the machine is the load's, …"""
SELDOM_S = 15.0
"""… but it looks at least so often."""

OpenJudge = Callable[[], AbstractContextManager[LiveAudit]]


@dataclass(kw_only=True)
class Watch:
    """The judge in a thread of its own, until `stop`."""

    open_judge: OpenJudge
    since_clock_s: Callable[[], float]
    """Seconds since the warm-up was over."""
    seen: list[SoFar] = field(default_factory=list)
    problem: str = ""
    """Why it gave up; the audit at the end judges everything all the same."""
    _over: threading.Event = field(default_factory=threading.Event)
    _at_rest: bool = False
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="invariants so far")
        self._thread.start()

    def conclude(self) -> None:
        """Nobody sends any more, and the service is at rest: judge all that there is, and stop."""
        self._at_rest = True
        self.stop()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        pause_s = EVERY_S
        try:
            with self.open_judge() as judge:
                while not self._over.wait(pause_s):
                    pause_s = self._look(judge) / SHARE_OF_TIME
                    pause_s = min(max(EVERY_S, pause_s), SELDOM_S)
                # What one step reads the next one judges.
                for _ in range(2 if self._at_rest else 0):
                    self._look(judge)
        except Exception as error:  # noqa: BLE001 - a judge that is gone has to be said
            self.problem = (
                f"the invariants could not be judged while the load went on: {_words(error)}"
            )

    def _look(self, judge: LiveAudit) -> float:
        """How long it took."""
        at_s = self.since_clock_s()
        judged = judge.step(at_rest=self._at_rest)
        # The database may be away: a fault may have struck it.
        if not judged.trouble:
            self.seen.append(_so_far(judged, at_s))
        return judged.lasted_s


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, ArchiveError) else repr(error)


def _so_far(judged: Judged, at_s: float) -> SoFar:
    return SoFar(
        at_s=round(at_s, 2),
        acknowledged=judged.acknowledged,
        checked=judged.checked,
        violations=judged.violations,
        lasted_s=round(judged.lasted_s, 3),
    )
