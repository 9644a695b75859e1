"""Which schedules to run: depth-first with sleep sets, or every order up to a preemption bound.

Sleep sets (Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", 1996):
after a transition has been explored from a state it is put to sleep for the siblings that follow,
and stays asleep for as long as only steps run that commute with it. Every equivalence class of
schedules is still run at least once. The search is stateless: a state is the order of the choices
that lead to it, and is reached again by forcing them.

The search runs nothing itself: it hands out branches and takes what their runs were like. So it
can be spread over workers, and tested against a simulated database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attacks.postgres.dependence import dependent
from attacks.postgres.explorer.run import Pending, Run
from attacks.postgres.footprint import Footprint

Asleep = Mapping[int, Footprint]
"""Racers whose next step need not be tried here, and what that step touched."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """Part of the tree that is still to be explored: a forced beginning, then free choice."""

    order: tuple[int, ...] = ()
    asleep: Asleep = field(default_factory=dict)
    """At the state before the last choice of `order`."""
    enabled: tuple[tuple[int, ...], ...] = ()
    """What could go at each choice of `order` when the branch was opened."""


@dataclass(kw_only=True)
class Search:
    """The worklist of a search for one race."""

    reduce: bool = True
    """False tries every order. A reduction combined with a preemption bound would be unsound."""
    most_preemptions: int | None = None
    explored: int = 0
    pruned: int = 0
    """Orders that were given up or never begun, equivalent to one that ran."""
    diverged: int = 0
    """Runs whose forced beginning could not be forced again: the service is not repeatable."""
    _open: list[Branch] = field(default_factory=lambda: [Branch()])

    def __post_init__(self) -> None:
        if self.reduce and self.most_preemptions is not None:
            raise ValueError("a reduced search cannot be bounded: set reduce=False")

    @property
    def finished(self) -> bool:
        return not self._open

    def next(self) -> Branch:
        """The branch to run next, the deepest first. It has to be recorded or it is lost."""
        return self._open.pop()

    def record(self, branch: Branch, run: Run) -> None:
        """Take what a branch's run was like, and open the branches that it leaves."""
        forced = run.choices[: len(branch.order)]
        if (
            run.order[: len(branch.order)] != branch.order
            or tuple(choice.enabled for choice in forced) != branch.enabled
        ):
            self.diverged += 1
            return
        if run.gave_up:
            self.pruned += 1
        else:
            self.explored += 1
        self._open += self._left(branch, run)

    def _left(self, branch: Branch, run: Run) -> list[Branch]:
        """The next alternative at each choice from the end of the forced beginning on."""
        first = max(0, len(branch.order) - 1)
        asleep = dict(branch.asleep)
        branches = []
        for position in range(first, len(run.choices)):
            choice = run.choices[position]
            if position > first:
                self.pruned += sum(r in asleep and r != choice.racer for r in choice.enabled)
            tried = {**asleep, choice.racer: choice.footprint}
            others = [
                r for r in choice.enabled if r not in tried and self._within(run, position, r)
            ]
            if others:
                branches.append(
                    Branch(
                        order=(*run.order[:position], others[0]),
                        asleep=tried,
                        enabled=tuple(c.enabled for c in run.choices[: position + 1]),
                    )
                )
            asleep = still_asleep(asleep, choice.footprint) if self.reduce else {}
        return branches

    def _within(self, run: Run, position: int, racer: int) -> bool:
        if self.most_preemptions is None:
            return True
        switched = sum(_preempts(run, earlier, run.order[earlier]) for earlier in range(position))
        return switched + _preempts(run, position, racer) <= self.most_preemptions


def _preempts(run: Run, position: int, racer: int) -> bool:
    """Whether taking this racer here switches away from one that could have gone on."""
    last = run.order[position - 1] if position else None
    return last is not None and last != racer and last in run.choices[position].enabled


def still_asleep(asleep: Asleep, taken: Footprint) -> dict[int, Footprint]:
    """What sleeps on after a step with this footprint."""
    return {racer: own for racer, own in asleep.items() if not dependent(own, taken)}


@dataclass(kw_only=True)
class Following:
    """A chooser: follows a branch's beginning, then keeps to one racer for as long as it can go.

    Gives up where everything that could go is asleep.
    """

    branch: Branch
    reduce: bool
    _asleep: dict[int, Footprint] = field(default_factory=dict)
    _last: int | None = None

    def __call__(
        self, position: int, enabled: Sequence[Pending], before: Footprint | None
    ) -> int | None:
        racers = [pending.racer for pending in enabled]
        order = self.branch.order
        if position == len(order) - 1 or (position == 0 and not order):
            self._asleep = dict(self.branch.asleep)
        elif position >= len(order) and before is not None:
            self._asleep = still_asleep(self._asleep, before) if self.reduce else {}
        if position < len(order):
            self._last = order[position] if order[position] in racers else None
        else:
            awake = [racer for racer in racers if racer not in self._asleep]
            self._last = _kept(self._last, awake)
        return self._last


def _kept(last: int | None, awake: Sequence[int]) -> int | None:
    if last in awake:
        return last
    return awake[0] if awake else None
