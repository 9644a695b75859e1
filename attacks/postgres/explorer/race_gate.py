"""The gate of a race: parks every statement of the racing requests and lets one go at a time.

A session belongs to the request that runs when its database transaction begins, until that
transaction is over (a lease): only one request runs at a time, so a new batch on a session that
nobody owns is its own.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from attacks.postgres.gate import Forward, ForwardOrder, Relay, RelayOrder
from attacks.postgres.trace import Reply, SessionInfo, Step

FORWARD, RELAY = Forward(), Relay()
LEFT_S = 30.0
"""A step that nobody releases any more goes on after this, so that no client hangs for ever."""


@dataclass(kw_only=True)
class Passage:
    """One step on its way through the proxy, from its arrival to the relay of its reply."""

    racer: int
    session: SessionInfo
    step: Step
    parked: bool
    """False when it was forwarded at once."""
    arrived_s: float
    released_s: float = 0.0
    replied_s: float = 0.0
    reply: Reply | None = None
    order: ForwardOrder = FORWARD
    """What becomes of the step once it is released."""
    relay_order: RelayOrder = RELAY
    go: threading.Event = field(default_factory=threading.Event)
    relay: threading.Event = field(default_factory=threading.Event)


@dataclass(kw_only=True)
class RacerState:
    """Where a racing request is just now."""

    parked: Passage | None = None
    flight: Passage | None = None
    done: bool = False
    result: Any = None
    steps: int = 0


IsChoice = Callable[[SessionInfo, Step], bool]
OnForwarded = Callable[[Passage], None]


class RaceGate:
    """Implements `Gate`. Everything public is to be used with `moved` held, `arm` excepted."""

    def __init__(self, is_choice: IsChoice) -> None:
        self.moved = threading.Condition()
        self.running: int | None = None
        """The racer that new work on an unowned session belongs to."""
        self.racers: list[RacerState] = []
        self.strays = 0
        """Steps that came while no racer was running: work of the service's own."""
        self._is_choice = is_choice
        self._owners: dict[int, int] = {}
        self._infos: dict[int, SessionInfo] = {}
        self._passages: dict[int, Passage] = {}
        self._forwarded: list[Passage] = []
        self._armed = False

    def arm(self, racers: int) -> None:
        """Begin a race of this many requests: nothing is owned, nothing is parked."""
        with self.moved:
            self.racers = [RacerState() for _ in range(racers)]
            self.running = None
            self.strays = 0
            self._owners.clear()
            self._passages.clear()
            self._forwarded.clear()
            self._armed = True

    def disarm(self) -> None:
        """Let everything go that is still held; from now on all is forwarded at once."""
        with self.moved:
            self._armed = False
            for passage in self._passages.values():
                passage.go.set()
                passage.relay.set()

    def finish(self, racer: int, result: Any) -> None:
        """The racer has its answer."""
        with self.moved:
            self.racers[racer].done, self.racers[racer].result = True, result
            self.moved.notify_all()

    def owns_open_session(self, racer: int) -> bool:
        return racer in self._owners.values()

    def pids_of(self, racer: int) -> tuple[int, ...]:
        """Backends that work for this racer just now."""
        numbers = [number for number, owner in self._owners.items() if owner == racer]
        pids = [self._infos[number].pid for number in numbers if number in self._infos]
        return tuple(pid for pid in pids if pid is not None)

    def forwarded_since(self) -> list[Passage]:
        """Steps that were forwarded at once and have their reply, since the last call."""
        done = [passage for passage in self._forwarded if passage.reply is not None]
        self._forwarded = [passage for passage in self._forwarded if passage.reply is None]
        return done

    def release(self, racer: int, order: ForwardOrder = FORWARD) -> Passage:
        """Let the racer's parked step go, or let this become of it."""
        state = self.racers[racer]
        passage = state.parked
        assert passage is not None, "only a parked racer can be released"
        state.parked, state.flight = None, passage
        passage.order, passage.released_s = order, time.monotonic()
        self.running = racer
        passage.go.set()
        return passage

    def relay(self, passage: Passage, order: RelayOrder = RELAY) -> None:
        """Let a reply reach its client, or let this become of it: its racer runs on."""
        self.racers[passage.racer].flight = None
        passage.relay_order = order
        self.running = passage.racer
        passage.relay.set()

    # What the proxy calls, in the session's own threads.

    def opened(self, session: SessionInfo) -> None:
        with self.moved:
            self._infos[session.number] = session

    def arrived(self, session: SessionInfo, step: Step) -> ForwardOrder:
        with self.moved:
            self._infos[session.number] = session
            if not self._armed:
                return FORWARD
            racer = self._racer_of(session.number)
            if racer is None:
                self.strays += 1
                return FORWARD
            self._owners[session.number] = racer
            passage = Passage(
                racer=racer,
                session=session,
                step=step,
                parked=self._is_choice(session, step),
                arrived_s=time.monotonic(),
            )
            self._passages[session.number] = passage
            self.racers[racer].steps += 1
            if not passage.parked:
                passage.released_s = passage.arrived_s
                self._forwarded.append(passage)
                return FORWARD
            self.racers[racer].parked = passage
            self.moved.notify_all()
        passage.go.wait(LEFT_S)
        return passage.order

    def replied(self, session: SessionInfo, step: Step, reply: Reply) -> RelayOrder:
        with self.moved:
            passage = self._passages.get(session.number)
            if passage is None or passage.step is not step:
                return RELAY
            passage.reply, passage.replied_s = reply, time.monotonic()
            if reply.status == "I":
                self._owners.pop(session.number, None)
            self.moved.notify_all()
            if not (passage.parked and self._armed):
                return RELAY
        passage.relay.wait(LEFT_S)
        return passage.relay_order

    def closed(self, session: SessionInfo) -> None:
        with self.moved:
            self._infos.pop(session.number, None)
            self._owners.pop(session.number, None)
            passage = self._passages.pop(session.number, None)
            if passage is not None:
                self._hang_up(passage)
            self.moved.notify_all()

    def _racer_of(self, session: int) -> int | None:
        """Who owns the session, or else who runs; None for work of the service's own."""
        if session in self._owners:
            return self._owners[session]
        running = self.running
        return None if running is None or self.racers[running].done else running

    def _hang_up(self, passage: Passage) -> None:
        if passage.reply is None:
            passage.reply, passage.replied_s = Reply(lost=True), time.monotonic()
        state = self.racers[passage.racer]
        if state.parked is passage:
            state.parked = None
        passage.go.set()
        passage.relay.set()
