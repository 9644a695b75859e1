"""The whole search over one race: serial orders, predicted ones, every order.

What a schedule did is judged by whoever calls: `Tried.violations` counts the contradictions that
were found after it. The search ends at the first violation, which is then minimised.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, islice, permutations
from typing import Any

from attacks.postgres.explorer.choosing import by_priorities, following, serial
from attacks.postgres.explorer.diagnosis import NOTHING_CAME
from attacks.postgres.explorer.predicting import Prediction, predict
from attacks.postgres.explorer.repeating import Repetition
from attacks.postgres.explorer.run import Choose, Run, Taken
from attacks.postgres.explorer.search import Following, Search
from attacks.postgres.explorer.signature import difference, signature
from attacks.postgres.explorer.working_off import WorkingOff

MOST_SERIAL = 24
SERIAL_AT_LEAST = 2
"""Tried also where requests never meet."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A schedule that ran, and what its judge said."""

    run: Run
    violations: int
    verdict: Any = None
    """Whatever the judge wants to find again with the schedule."""
    held: int | None = None
    """The number of the lock that somebody held until every racer had come."""


Try = Callable[[Choose], Tried]
"""Puts everything back to where it was, forces one schedule and judges it."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When the exhaustive search gives way to a bounded one. Counts are schedules."""

    exhaustive: int = 2000
    exhaustive_s: float = 30.0
    bounded: int = 300
    bounded_s: float = 10.0
    most_preemptions: int = 2
    random: int = 50
    seed: int = 0


@dataclass(kw_only=True)
class Explored:
    """What a search came to."""

    explored: int = 0
    overlapped: int = 0
    """Schedules in which two requests were under way at once."""
    pruned: int = 0
    uncontrolled: int = 0
    violated: int = 0
    random_schedules: int = 0
    exhausted: bool = False
    preemption_bound: int | None = None
    first_violation: int | None = None
    no_race_needed: bool = False
    reasons: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    """Those of the reasons that lie in the service or its settings, and say what to change."""
    predictions: list[tuple[Prediction, bool]] = field(default_factory=list)
    """What each request, run alone, allows; and whether forcing it showed it."""
    alone: tuple[int, ...] = ()
    """How many statements each request makes when nobody is beside it."""
    serial: Tried | None = None
    losing: Tried | None = None
    reproduced: tuple[int, int] | None = None
    """How often the losing schedule lost again when it was forced, and how often it was forced."""
    duration_s: float = 0.0

    @property
    def vacuous(self) -> str | None:
        """Why schedules without a violation say nothing; None when they say something."""
        if self.losing is not None:
            return None
        if self.serial is None or not self.serial.run.choices:
            return self._cause_or(NOTHING_CAME)
        if not all(self.alone):
            return self._cause_or("one of the requests was answered without a statement")
        if not self.overlapped and not self.exhausted:
            last = (
                self.reasons[0] if self.reasons else "no two requests were ever under way at once"
            )
            return self._cause_or(last)
        return None

    def _cause_or(self, otherwise: str) -> str:
        return self.causes[0] if self.causes else otherwise

    def doubt(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


@dataclass(kw_only=True)
class Exploration:
    """One search: `Exploration(…).run()`."""

    attempt: Try
    racers: int
    elsewhere: Sequence[Try] = ()
    """More places to try schedules at, each with a database of its own: workers."""
    among: Callable[[frozenset[int]], Try] | None = None
    """A place where only these racers take part; without it all do, also in the smallest order."""
    budget: Budget = field(default_factory=Budget)
    reduce: bool = True
    keep_going: bool = False
    """Do not stop at a violation: for counting how many orders lose money."""
    reproductions: int = 10
    """How often a losing schedule is forced again."""
    seen: Callable[[Tried], None] = lambda _: None
    result: Explored = field(default_factory=Explored)
    _alone: dict[int, Sequence[Taken]] = field(default_factory=dict)
    _hopeless: bool = False
    """No order can be forced on this service, or it is not what it was: the reasons say why."""
    _repetition: Repetition = field(default_factory=Repetition)

    def run(self) -> Explored:
        began_s = time.monotonic()
        for phase in (self._serial_orders, self._predicted, self._exhaustively):
            phase()
            if self._decided() or self._hopeless:
                break
        else:
            if not self.result.exhausted:
                self._bounded()
        if not self._hopeless:
            self._look_again()
        self.result.duration_s = time.monotonic() - began_s
        return self.result

    def _look_again(self) -> None:
        if not self._decided():
            self._once_more()
        if self.result.losing is not None:
            if not self.result.no_race_needed:
                self._minimise(self.result.losing)
            self._reproduce(self.result.losing)

    def _decided(self) -> bool:
        return self.result.losing is not None and not self.keep_going

    def _take(self, choose: Choose) -> Tried:
        return self._weighed(self.attempt(choose))

    def _weighed(self, tried: Tried) -> Tried:
        result, run = self.result, tried.run
        if changed := self._repetition.difference(run):
            result.doubt(changed)
        for reason in run.uncontrolled:  # Of one that was given up too: it was there to prune.
            result.doubt(reason)
            if reason not in result.causes:
                result.causes.append(reason)
        if run.gave_up:
            return tried
        result.explored += 1
        result.overlapped += run.overlapped
        result.uncontrolled += bool(run.uncontrolled)
        if run.unfinished:
            result.doubt("a request did not end")
            self._hopeless = True  # What it still does would disturb the next schedules.
        if tried.violations:
            result.violated += 1
            if result.losing is None:
                result.losing, result.first_violation = tried, result.explored
        self.seen(tried)
        return tried

    def _serial_orders(self) -> None:
        """A violation here needs no race."""
        free = False
        for number, order in enumerate(_serial_orders(self.racers), start=1):
            tried = self._take(serial(order))
            free |= tried.run.was_free
            self.result.serial = self.result.serial or tried
            self._alone.setdefault(order[0], _steps_of(tried.run, order[0]))
            if tried.violations:
                self.result.no_race_needed = True
                self.result.serial = tried
                break
            self._hopeless |= (
                not free and bool(tried.run.uncontrolled) and number >= SERIAL_AT_LEAST
            )
            if self._hopeless:
                break
        self.result.alone = tuple(len(self._alone.get(r, ())) for r in range(self.racers))

    def _predicted(self) -> None:
        """What the statements of each request alone allow is forced first."""
        if self.racers > 1:
            for prediction in predict([self._alone.get(r, ()) for r in range(self.racers)]):
                tried = self._take(following(prediction.order))
                shown = prediction.shown_by(tried.run, violated=tried.violations > 0)
                self.result.predictions.append((prediction, shown))

    def _exhaustively(self) -> None:
        search = Search(reduce=self.reduce)
        budget = self.budget
        # With a doubt it cannot come out as exhausted any more: then it is a search like others.
        most_s = budget.bounded_s if self.result.reasons else budget.exhaustive_s
        finished = self._work_off(search, budget.exhaustive, most_s)
        self.result.pruned = search.pruned
        if search.diverged:
            self.result.doubt(f"{search.diverged} orders could not be forced again: not repeatable")
        if not finished and not self._decided():
            self.result.doubt(f"the search was not over after {search.explored} schedules")
        self.result.exhausted = finished and not self.result.reasons

    def _work_off(self, search: Search, most: int, most_s: float) -> bool:
        """Whether the search came to its end within so many schedules and seconds."""
        return WorkingOff(
            search=search,
            places=(self.attempt, *self.elsewhere),
            weigh=self._goes_on,
            most=most,
            until_s=time.monotonic() + most_s,
        ).to_the_end()

    def _goes_on(self, tried: Tried) -> bool:
        self._weighed(tried)
        return not (self._decided() or self._hopeless)

    def _bounded(self) -> None:
        budget = self.budget
        for bound in range(1, budget.most_preemptions + 1):
            search = Search(reduce=False, most_preemptions=bound)
            if not self._work_off(search, budget.bounded, budget.bounded_s):
                break
            self.result.preemption_bound = bound
        randomness = random.Random(budget.seed)  # noqa: S311 - repeatable, not secret
        steps = len(self.result.serial.run.choices) if self.result.serial else 1
        until_s = time.monotonic() + budget.bounded_s
        for _ in range(budget.random):
            if self._decided() or self._hopeless or time.monotonic() > until_s:
                return
            self._take(by_priorities(randomness, self.racers, changes=3, steps=steps))
            self.result.random_schedules += 1

    def _minimise(self, losing: Tried) -> None:
        """Fewest preemptions first, then fewest requests: the first that is violated as well."""
        smaller = self._first_violated(losing.run.preemptions, self.attempt)
        self.result.losing = losing = smaller or losing
        if self.among is None:
            return
        for size in range(2, self.racers):
            for group in combinations(range(self.racers), size):
                place = self.among(frozenset(group))
                if fewer := self._first_violated(losing.run.preemptions + 1, place):
                    self.result.losing = fewer
                    return

    def _first_violated(self, preemptions: int, attempt: Try) -> Tried | None:
        """Among the orders with fewer preemptions than these."""
        tries = self._smaller(preemptions, attempt)
        return next((tried for tried in tries if tried.violations), None)

    def _reproduce(self, losing: Tried) -> None:
        order = losing.run.order
        attempt = self.among(frozenset(order)) if self.among else self.attempt
        again = [attempt(following(order)) for _ in range(self.reproductions)]
        lost = sum(tried.violations > 0 for tried in again)
        self.result.reproduced = (lost, self.reproductions) if again else None

    def _smaller(self, preemptions: int, attempt: Try) -> Iterator[Tried]:
        until_s = time.monotonic() + self.budget.bounded_s
        for bound in range(preemptions):
            search = Search(reduce=False, most_preemptions=bound)
            while not search.finished and search.explored < self.budget.bounded:
                if time.monotonic() > until_s:
                    return
                branch = search.next()
                tried = attempt(Following(branch=branch, reduce=False))
                search.record(branch, tried.run)
                yield tried

    def _once_more(self) -> None:
        """Schedule 0 again: another trace means that the service keeps what was not put back."""
        first = self.result.serial
        assert first is not None, "the serial orders come first"
        again = self.attempt(following(first.run.order))
        if parted := difference(signature(first.run), signature(again.run)):
            self.result.exhausted = False
            self.result.doubt(
                "the first schedule, run again at the end, was another one: the service keeps state"
                f" that was not put back ({parted})"
            )


def _serial_orders(racers: int) -> Iterator[tuple[int, ...]]:
    """All of them, or at most MOST_SERIAL; everybody comes first in one of the first of them."""
    turned = [tuple((first + i) % racers for i in range(racers)) for first in range(racers)]
    others = (order for order in permutations(range(racers)) if order not in turned)
    return islice(chain(turned, others), max(MOST_SERIAL, racers))


def _steps_of(run: Run, racer: int) -> tuple[Taken, ...]:
    return tuple(t for t in run.taken if t.racer == racer and t.choice is not None)
