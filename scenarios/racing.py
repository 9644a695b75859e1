"""Racing requests in every order of their statements: what `Lab.explore` does."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from attacks.history import History, Operation, Recorder
from attacks.http.request import Request
from attacks.http.sender import Sender, actor_name
from attacks.postgres.checkpoint import Checkpoint
from attacks.postgres.explorer.choosing import following
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Choose, Racer
from attacks.postgres.explorer.signature import difference, signature
from scenarios.invariants import Finding, Invariant, Observed
from scenarios.invariants.observed import in_round
from scenarios.schedule_file import ScheduleFile
from scenarios.truth import GroundTruth


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a schedule came to: kept with it, for reports."""

    operations: tuple[Operation, ...]
    findings: tuple[Finding, ...]
    observed: Observed


@dataclass(frozen=True, kw_only=True)
class Race:
    """One race that was searched."""

    name: str
    round: int
    racers: int
    explored: Explored

    @property
    def lost(self) -> Outcome | None:
        """What the losing schedule came to."""
        return self.explored.losing.verdict if self.explored.losing else None

    @property
    def requests(self) -> int:
        return self.racers * self.explored.explored


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A written schedule, and how often it is to be forced."""

    schedule: ScheduleFile
    times: int
    seen: Callable[[int], None] = lambda _: None
    """Called with the number of each time that is over."""


@dataclass(frozen=True, kw_only=True)
class Replayed:
    times: int
    reproduced: int
    """How often the same invariant was violated again."""
    same_trace: int
    difference: str | None
    """Where a trace first was another one than the written."""
    last: Tried


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What is needed to judge one schedule."""

    invariants: tuple[Invariant, ...]
    read_truth: Callable[[], GroundTruth]


@dataclass(kw_only=True)
class Explorer:
    """Searches races between requests; keeps what it found."""

    track: RaceTrack
    database_url: str
    sender: Sender
    """Its operations go to `recorder` and nowhere else: the database is put back after each."""
    recorder: Recorder
    judging: Judging
    forget: Callable[[], None]
    """Empties what the service keeps outside the database (its cache)."""
    budget: Budget
    log: Path | None = None
    """Gets a JSON line a schedule."""
    reduce: bool = True
    races: list[Race] = field(default_factory=list)
    replay: Replay | None = None
    """Instead of searching, force this schedule when its race comes."""
    replayed: Replayed | None = None
    unsettled: bool = False
    """A race broke off and the database could not be put back: it shows nothing."""

    def explore(self, name: str, requests: Sequence[Request], setup: History, number: int) -> None:
        """Search one race from the present state of the database.

        Raises CheckpointError, ObserverError, or what reading ground truth raises.
        """
        if self.replay and self.replay.schedule.race != name:
            return
        actors = [actor_name(position) for position in range(len(requests))]
        for actor in actors:
            self.sender.connect(actor)
        racers = [
            partial(self.sender.send, request, actor=actor, round=number)
            for actor, request in zip(actors, requests, strict=True)
        ]
        checkpoint = Checkpoint(self.database_url)
        self.unsettled = True
        try:
            attempt = partial(self._try, checkpoint, racers, setup, number)
            if self.replay:
                self.replayed = _replayed(attempt, self.replay)
            else:
                self.races.append(self._searched(name, number, attempt, len(racers)))
        finally:
            checkpoint.restore()
            self.unsettled = False
            self.forget()
            checkpoint.close()

    def _searched(
        self, name: str, number: int, attempt: Callable[[Choose], Tried], racers: int
    ) -> Race:
        search = Exploration(
            attempt=attempt, racers=racers, budget=self.budget, reduce=self.reduce
        )
        return Race(name=name, round=number, racers=racers, explored=search.run())

    def _try(
        self,
        checkpoint: Checkpoint,
        racers: Sequence[Racer],
        setup: History,
        number: int,
        choose: Choose,
    ) -> Tried:
        checkpoint.restore()
        self.forget()
        run = self.track.force(racers, choose)
        history = self.recorder.take()
        if run.gave_up:
            return Tried(run=run, violations=0)
        truth = self.judging.read_truth()
        together = History(operations=(*setup.operations, *history.operations))
        observed = in_round(together, truth, number)
        findings = tuple(f for judge in self.judging.invariants for f in judge(observed))
        outcome = Outcome(operations=history.operations, findings=findings, observed=observed)
        tried = Tried(run=run, violations=len(findings), verdict=outcome)
        self._log(tried, outcome)
        return tried

    def _log(self, tried: Tried, outcome: Outcome) -> None:
        if self.log is None:
            return
        line: dict[str, Any] = {
            "order": "".join(actor_name(racer) for racer in tried.run.order),
            "answers": {o.actor: o.answer for o in outcome.operations},
            "balances": {
                w: str(b.amount_minor) for w, b in outcome.observed.truth.balances.items()
            },
            "violated": [finding.invariant for finding in outcome.findings],
        }
        with self.log.open("a") as file:
            file.write(json.dumps(line) + "\n")


def _replayed(attempt: Callable[[Choose], Tried], replay: Replay) -> Replayed:
    wanted = replay.schedule
    reproduced = same = 0
    first_difference: str | None = None
    for number in range(1, replay.times + 1):
        tried = attempt(following(wanted.order))
        outcome: Outcome = tried.verdict
        violated = {finding.invariant for finding in outcome.findings}
        reproduced += bool(violated & set(wanted.violated))
        changed = difference(wanted.trace, signature(tried.run))
        same += changed is None
        first_difference = first_difference or changed
        replay.seen(number)
    return Replayed(
        times=replay.times,
        reproduced=reproduced,
        same_trace=same,
        difference=first_difference,
        last=tried,
    )
