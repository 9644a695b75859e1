"""Every fault at every statement of a request: what `Lab.strike` does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from attacks.history import Recorder
from attacks.http.request import Request
from attacks.postgres.explorer.choosing import following, serial
from attacks.postgres.explorer.forcing import Aim
from attacks.postgres.explorer.run import Racer, Run, Struck
from attacks.postgres.explorer.signature import masked
from attacks.postgres.faults import Fault
from scenarios.ground import Beginning, Ground, Outcome

FATE_WITHIN_S = 5.0
FIRST, BESIDE = 0, 1
AGAIN = "A again"
AROUND = "R"


class Restarted(Protocol):
    """The service under attack."""

    @property
    def alive(self) -> bool: ...

    def kill(self) -> None: ...

    def start(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What is to be tried."""

    request: Request
    fault: Fault
    point: int
    """Of the statement, from 0."""
    retry: bool
    around: Sequence[Request] = ()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault at one statement, and what became of it."""

    request: str
    point: int
    """The statement that it struck at, from 1."""
    struck: Struck | None
    """None when the moment never came."""
    fault: str
    fate: str
    """The database's own word on the transaction: committed, aborted, none, …"""
    outcome: Outcome
    run: Run
    restarted: bool
    """The service had died and was started again."""
    expected: str = ""
    """The SQL of this statement in the undisturbed run."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """All cases of one request."""

    name: str
    round: int
    cases: tuple[Case, ...]
    faults: tuple[str, ...]
    points: int
    """Statements of the request, run alone and undisturbed."""

    @property
    def vacuous(self) -> str | None:
        """Why cases without a violation say nothing; None when they say something."""
        if not self.points:
            return "no statement of the request came through the proxy"
        for case in self.cases:
            if case.struck is None:
                return f"{case.fault} did not strike at statement {case.point}"
            if masked(case.struck.step.sql) != masked(case.expected):
                return f"statement {case.point} was another one when {case.fault} struck"
        return None


@dataclass(kw_only=True)
class Striker:
    """Lets faults strike, and keeps what it saw."""

    ground: Ground
    service: Restarted
    recorder: Recorder
    """The lab's: told of each fault that struck."""
    wait_until_quiet: Callable[[], bool]
    series: list[Series] = field(default_factory=list)

    def strike(  # noqa: PLR0913 - what a series is made of
        self,
        name: str,
        request: Request,
        faults: Sequence[Fault],
        beginning: Beginning,
        *,
        at_the_end: Sequence[Fault],
        retry: bool,
        beside: Request | None,
        around: Sequence[Request] = (),
    ) -> None:
        """See `Lab.strike`. Ends at the first case that is violated.

        Raises CheckpointError, ObserverError, EngineError when the service does not come back.
        """
        requests = [request] if beside is None else [request, beside]
        racers = self.ground.racers(requests, beginning.round)
        with self.ground.from_here() as again:
            again()
            alone = self.ground.track.force(racers, serial(range(len(racers))))
            steps = [t for t in alone.taken if t.racer == FIRST and t.choice is not None]
            shots = [(point, fault) for point in range(len(steps)) for fault in faults]
            shots += [(len(steps) - 1, fault) for fault in at_the_end if steps]
            cases: list[Case] = []
            for point, fault in shots:
                again()
                target = Shot(request=request, fault=fault, point=point, retry=retry, around=around)
                case = self._case(racers, target, beginning)
                cases.append(replace(case, expected=steps[point].step.sql))
                if case.outcome.findings:
                    break
                if case.outcome.truth.locks_left:
                    self.service.kill()  # Else the next case would wait for them.
                    self.service.start()
                if case.restarted or case.outcome.truth.locks_left:
                    # What a fresh process asks for once would shift the statements.
                    again()
                    self.ground.track.force(racers, serial(range(len(racers))))
        self.series.append(
            Series(
                name=name,
                round=beginning.round,
                cases=tuple(cases),
                faults=tuple(fault.name for fault in (*faults, *at_the_end)),
                points=len(steps),
            )
        )

    def _case(self, racers: Sequence[Racer], shot: Shot, beginning: Beginning) -> Case:
        # The other one, if there is one, goes as soon as the fault has struck.
        choose = following((FIRST,) * (shot.point + 1), then=BESIDE)
        aim = Aim(position=shot.point, fault=shot.fault)
        self._send_around(shot, beginning)
        run = self.ground.track.force(racers, choose, aim=aim)
        restarted = not self.service.alive
        if restarted:
            self.service.start()
        self.wait_until_quiet()
        fate = self._fate(run.struck)
        if shot.retry:
            self.ground.send(shot.request, actor=AGAIN, round=beginning.round)
        self._send_around(shot, beginning)
        if run.struck is not None:
            text = f"{shot.fault.name}: statement {shot.point + 1} of {shot.request.text}"
            self.recorder.event(shot.fault.name, text)
        return Case(
            request=shot.request.text,
            point=shot.point + 1,
            struck=run.struck,
            fault=shot.fault.name,
            fate=fate,
            outcome=self.ground.judged(beginning),
            run=run,
            restarted=restarted,
        )

    def _send_around(self, shot: Shot, beginning: Beginning) -> None:
        for request in shot.around:
            self.ground.send(request, actor=AROUND, round=beginning.round)

    def _fate(self, struck: Struck | None) -> str:
        if struck is None or struck.xid is None:
            return "nothing was written"
        return self.ground.track.observer.fate(struck.xid, FATE_WITHIN_S)
