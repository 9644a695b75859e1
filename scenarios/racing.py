"""Racing requests in every order of their statements: what `Lab.explore` does."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from attacks.http.request import Request
from attacks.http.sender import actor_name
from attacks.postgres.explorer.choosing import following
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried, Try
from attacks.postgres.explorer.run import Choose, Racer, Run
from attacks.postgres.explorer.signature import difference, signature
from attacks.postgres.side_session import SideSession
from scenarios.forced_overlap import Lock, force_overlap, lacks_overlap
from scenarios.ground import Beginning, Ground, Outcome
from scenarios.schedule_file import ScheduleFile


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
    """How often one of the same invariants was violated again."""
    same_trace: int
    difference: str | None
    """Where a trace first was another one than the written."""


Hire = Callable[[str], AbstractContextManager[Sequence[Try]]]


@dataclass(kw_only=True)
class Explorer:
    """Searches races between requests; keeps what it found."""

    ground: Ground
    budget: Budget
    log: Path | None = None
    """Gets a JSON line a schedule."""
    reduce: bool = True
    races: list[Race] = field(default_factory=list)
    replay: Replay | None = None
    """Instead of searching, force this schedule when its race comes."""
    replayed: Replayed | None = None
    hire: Hire = lambda _: nullcontext(())
    """More places for the race of this name: workers."""
    rows: dict[int | None, list[Lock]] = field(default_factory=dict)
    """Of each round: where its requests may be held back."""
    serving: tuple[str, Callable[[Try], None]] | None = None
    """In a worker: instead of searching, hand the place for this race over."""

    def explore(
        self,
        name: str,
        requests: Sequence[Request],
        beginning: Beginning,
        *,
        writes: Sequence[Lock] = (),
    ) -> None:
        """Search one race from the present state of the database.

        Requests of one statement are also held back, at the round's rows and at `writes`.
        Raises CheckpointError, ObserverError, or what reading ground truth raises.
        """
        if name != (self.serving[0] if self.serving else self._replayed_race or name):
            return
        racers = self.ground.racers(requests, beginning.round)
        locks = [*self.rows.get(beginning.round, []), *writes]
        with self.ground.from_here() as again:
            attempt = partial(self._try, again, racers, beginning, locks)
            if self.serving:
                self.serving[1](attempt)
                return
            if self.replay:
                wanted = self.replay.schedule
                again_so = partial(attempt, only=frozenset(wanted.order), held=wanted.held)
                self.replayed = _replayed(again_so, self.replay)
                return
            with self.hire(name) as elsewhere:
                explored = Exploration(
                    attempt=attempt,
                    elsewhere=elsewhere,
                    among=lambda group: partial(attempt, only=group),
                    racers=len(racers),
                    budget=self.budget,
                    reduce=self.reduce,
                ).run()
            if lacks_overlap(explored, len(racers)):
                force_overlap(explored, attempt, racers=len(racers), locks=len(locks))
        self.races.append(
            Race(name=name, round=beginning.round, racers=len(racers), explored=explored)
        )

    @property
    def _replayed_race(self) -> str | None:
        return self.replay.schedule.race if self.replay else None

    def _try(  # noqa: PLR0913 - the first four are the race, the same for all its tries
        self,
        again: Callable[[], None],
        racers: Sequence[Racer],
        beginning: Beginning,
        locks: Sequence[Lock],
        choose: Choose,
        *,
        only: frozenset[int] | None = None,
        held: int | None = None,
    ) -> Tried:
        again()
        if held is None:
            run = self.ground.track.force(racers, choose, only=only)
        else:
            run = self._held_back(racers, choose, locks[held])
        if run.gave_up:
            return Tried(run=run, violations=0)
        outcome = self.ground.judged(beginning)
        tried = Tried(run=run, violations=len(outcome.findings), verdict=outcome, held=held)
        self._log(tried, outcome)
        return tried

    def _held_back(self, racers: Sequence[Racer], choose: Choose, lock: Lock) -> Run:
        with SideSession(self.ground.database_url) as side:
            side.hold(*lock)
            return self.ground.track.force(racers, choose, holder=side)

    def _log(self, tried: Tried, outcome: Outcome) -> None:
        if self.log is None:
            return
        balances = outcome.observed.truth.balances.items()
        line = {
            "order": "".join(actor_name(racer) for racer in tried.run.order),
            "answers": {operation.actor: operation.answer for operation in outcome.operations},
            "balances": {wallet: str(balance.amount_minor) for wallet, balance in balances},
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
        violated = {finding.invariant for finding in tried.verdict.findings}
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
    )
