"""Ending a race: lets late work come to rest, and leaves no transaction open for the next one."""

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from attacks.postgres.explorer.race_gate import RaceGate
from attacks.postgres.observer import ObserverError

JOIN_S = 5.0
"""For requests that run on freely."""
STUCK_S = 1.0
"""For requests that did not move any more, before and after their sessions are ended."""
OPEN_S = 0.5
"""For what a service still does in a transaction after it has answered."""
POLL_S = 0.02
QUIET_S = 0.05
QUIET_WITHIN_S = 1.0


class Ends(Protocol):
    """Asked of PostgreSQL when a race is over."""

    def xid(self, pid: int) -> int | None: ...

    def terminate(self, pid: int) -> None:
        """Raises ObserverError when the role may not."""


def wait_until_quiet(gate: RaceGate) -> None:
    """After a request was answered before its work was over: until its sessions rest for a while.

    What goes on for longer is seen as open transactions by whoever puts the database back.
    """
    until_s = time.monotonic() + QUIET_WITHIN_S
    with gate.moved:
        while time.monotonic() < until_s and (gate.moved.wait(QUIET_S) or gate.is_busy):
            pass


def end_race(
    gate: RaceGate, threads: Sequence[threading.Thread], ends: Ends, *, stuck: bool
) -> str | None:
    """Let go of everything; end the service's sessions if its requests do not end then.

    Returns one line when that was refused.
    """
    gate.disarm()
    ended = _join(threads, STUCK_S if stuck else JOIN_S)
    until_s = time.monotonic() + STUCK_S
    try:
        while not ended and time.monotonic() < until_s:
            # Again and again: who retries may be between two transactions just now.
            with gate.moved:
                gate.moved.wait_for(lambda: gate.is_busy, OPEN_S)
                pids = gate.busy_pids
            for pid in pids:
                ends.terminate(pid)
            ended = _join(threads, POLL_S)
        _end_leftovers(gate, ends)
    except ObserverError as error:
        return f"a request keeps its database transaction open and cannot be stopped: {error}"
    return None


def _end_leftovers(gate: RaceGate, ends: Ends) -> None:
    """Requests are over, but not what they began: a long statement, or writes not committed."""
    racers = range(len(gate.racers))
    with gate.moved:
        gate.moved.wait_for(lambda: not any(map(gate.owns_open_session, racers)), OPEN_S)
        pids = [pid for racer in racers for pid in gate.pids_of(racer)]
        working = gate.working_pids
    for pid in pids:
        if pid in working or ends.xid(pid) is not None:
            ends.terminate(pid)


def _join(threads: Sequence[threading.Thread], within_s: float) -> bool:
    until_s = time.monotonic() + within_s
    for thread in threads:
        thread.join(max(0.0, until_s - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
