"""A place to race: a proxy before the database, an observer beside it, and the accounts of both."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from attacks.postgres.explorer.accounts import Accounts
from attacks.postgres.explorer.diagnosis import Diagnosis
from attacks.postgres.explorer.forcing import Aim, Bounds, Forcing, Waits
from attacks.postgres.explorer.held_back import HeldBack, Holder
from attacks.postgres.explorer.race_gate import RaceGate
from attacks.postgres.explorer.run import Choose, Racer, Run
from attacks.postgres.footprint import Footprint, nothing
from attacks.postgres.observer import Observer
from attacks.postgres.proxy import Proxy

SHORT_DEADLOCK_CHECK_S = 0.005
"""A deadlock_timeout up to here is waited for, which makes the victim of each deadlock certain."""
MARGIN_S = 0.0005
MISSED = (
    "the service had opened its connections before the explorer looked: what it set in them is not"
    " known; make the RaceTrack before the service starts"
)


class RaceTrack:
    """Forces schedules of requests to a service whose database URL points at the proxy.

    To be made before the service opens its first connection: what a session sets then (such as its
    isolation level) decides which orders matter. One track a proxy.
    """

    def __init__(
        self,
        proxy: Proxy,
        observer: Observer,
        *,
        bounds: Bounds | None = None,
        outside: Callable[[], Footprint] = nothing,
        probe: Callable[[], bool] | None = None,
    ) -> None:
        """`outside` says what the service did outside the database since it was asked before.
        `probe` says whether it answers a trivial request within a second or so.

        Raises ObserverError when the database does not let itself be observed.
        """
        self._observer = observer
        self._accounts = Accounts(observer)
        self._gate = RaceGate(self._accounts)
        self._proxy = proxy
        proxy.set_gate(self._gate)
        self._outside = outside
        self._diagnosis = Diagnosis(proxy=proxy, probe=probe)
        check_s = observer.deadlock_timeout_s() + MARGIN_S
        short = check_s <= SHORT_DEADLOCK_CHECK_S
        self._bounds = replace(bounds or Bounds(), deadlock_check_s=check_s if short else 0.0)

    @property
    def observer(self) -> Observer:
        return self._observer

    def force(
        self,
        racers: Sequence[Racer],
        choose: Choose,
        *,
        aim: Aim | None = None,
        only: frozenset[int] | None = None,
        holder: Holder | None = None,
    ) -> Run:
        """Run these requests in the order that `choose` decides; `aim` lets a fault strike.

        With `only`, the other racers keep their numbers and send nothing. `holder` is somebody who
        holds a lock until each of them has come, and is told to release it then.
        """
        waits: Waits = self._observer
        outside = self._outside
        if holder:
            back = HeldBack(waits=waits, holder=holder, racers=len(racers), outside=outside)
            waits, outside, choose = back, back.look_outside, back.choosing(choose)
        forcing = Forcing(
            gate=self._gate,
            waits=waits,
            footprints=self._accounts,
            racers=racers,
            bounds=self._bounds,
            diagnosis=self._diagnosis,
            outside=outside,
            aim=aim,
            only=only,
        )
        self._proxy.set_gate(self._gate)  # Another track may have been made meanwhile.
        run = forcing.run(choose)
        if not self._accounts.missed_steps:
            return run
        return replace(run, uncontrolled=(*run.uncontrolled, MISSED))
