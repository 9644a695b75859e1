"""The ground that races and faults stand on: one beginning that is reached again and again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from attacks.history import History, Operation, Recorder
from attacks.http.request import Request
from attacks.http.sender import Sender, actor_name
from attacks.postgres.checkpoint import Checkpoint
from attacks.postgres.explorer.race import RaceTrack
from attacks.postgres.explorer.run import Racer
from scenarios.invariants import Finding, Invariant, Observed
from scenarios.invariants.observed import in_round
from scenarios.truth import GroundTruth


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one try came to: kept with it, for reports."""

    operations: tuple[Operation, ...]
    findings: tuple[Finding, ...]
    observed: Observed
    """What the judges saw: the round's wallets only."""
    truth: GroundTruth
    """Everything that was in the database."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The round's history up to here; every try goes on from it."""

    setup: History
    round: int


@dataclass(kw_only=True)
class Ground:
    """Tries requests from the same beginning and judges what became of each try."""

    track: RaceTrack
    database_url: str
    sender: Sender
    """Its operations go to `recorder` and nowhere else: the database is put back after each try."""
    recorder: Recorder
    invariants: tuple[Invariant, ...]
    read_truth: Callable[[], GroundTruth]
    forget: Callable[[], None]
    """Empties what the service keeps outside the database (its cache)."""
    fresh_keys: bool = False
    """The service keeps keys where nothing puts them back (its own memory): new ones each try."""
    _try: str = ""
    unsettled: bool = False
    """Work broke off and the database could not be put back: it shows nothing."""

    def racers(self, requests: Sequence[Request], number: int) -> list[Racer]:
        """A client for each request: A, B, …, connected beforehand."""
        actors = [actor_name(position) for position in range(len(requests))]
        for actor in actors:
            self.sender.connect(actor)
        return [
            partial(self.send, request, actor=actor, round=number)
            for actor, request in zip(actors, requests, strict=True)
        ]

    def send(self, request: Request, *, actor: str, round: int) -> Operation:  # noqa: A002
        """Send as part of the present try."""
        if self.fresh_keys and request.key is not None:
            # A UUID, because traces are compared without those.
            key = f"{request.key}-{self._try}"
            headers = {n: key if v == request.key else v for n, v in request.headers.items()}
            request = replace(request, key=key, headers=headers)
        return self.sender.send(request, actor=actor, round=round)

    @contextmanager
    def from_here(self) -> Iterator[Callable[[], None]]:
        """Gives what brings the present state back; it is brought back in the end as well.

        Raises CheckpointError.
        """
        checkpoint = Checkpoint(self.database_url)
        self.unsettled = True

        def again() -> None:
            checkpoint.restore()
            self._try = str(uuid4())
            self.forget()
            self.recorder.take()

        try:
            yield again
        finally:
            try:
                again()
                self.unsettled = False
            finally:
                checkpoint.close()

    def judged(self, beginning: Beginning) -> Outcome:
        """Judge what was sent since the beginning by what is in the database now."""
        since = self.recorder.take()
        together = History(
            operations=(*beginning.setup.operations, *since.operations), events=since.events
        )
        truth = self.read_truth()
        observed = in_round(together, truth, beginning.round)
        findings = tuple(f for judge in self.invariants for f in judge(observed))
        return Outcome(
            operations=since.operations, findings=findings, observed=observed, truth=truth
        )
