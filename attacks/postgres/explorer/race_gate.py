"""The gate of a race: parks every statement of the racing requests and lets one go at a time.

A session belongs to the request that runs when its database transaction begins, until that
transaction is over (a lease): only one request runs at a time, so a new batch on a session that
nobody owns is its own. Requests that wait out of sight make that uncertain; see `_racer_of`.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from attacks.postgres.footprint import Footprint
from attacks.postgres.gate import Forward, ForwardOrder, Relay, RelayOrder
from attacks.postgres.trace import Reply, SessionInfo, Step

FORWARD, RELAY = Forward(), Relay()
LEFT_S = 30.0
"""A step that nobody releases any more goes on after this, so that no client hangs for ever."""
UNDECIDED_S = 0.1
"""While another request waits out of sight, a newcomer is kept so long for the running one to be
heard of: its answer, or its next step elsewhere."""


@dataclass(kw_only=True, eq=False)
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
    held: bool = True
    """Its reply waits for `relay`: others may have been let go by it, or a fault is to strike."""
    footprint: Footprint | None = None
    """Known as soon as somebody needs it, once the reply is there."""
    go: threading.Event = field(default_factory=threading.Event)
    relay: threading.Event = field(default_factory=threading.Event)


@dataclass(kw_only=True)
class RacerState:
    """Where a racing request is just now."""

    waiting: list[Passage] = field(default_factory=list)
    """Parked steps; more than one when the request uses several sessions at the same time."""
    flight: Passage | None = None
    started: bool = False
    done: bool = False
    result: Any = None
    answered_first: bool = False
    """It had its answer before any of its choice points was released."""
    steps: int = 0
    released: int = 0

    @property
    def parked(self) -> Passage | None:
        """The step that goes next; none before the last one has its reply."""
        return self.waiting[0] if self.waiting and self.flight is None else None


class Footprints(Protocol):
    """Says what each step touched; keeps its own account of every session."""

    def is_choice(self, session: SessionInfo, step: Step) -> bool: ...

    def needs_locks(self, session: SessionInfo, step: Step) -> bool:
        """Whether `after` has to be called before the step's reply is relayed."""

    def after(self, session: SessionInfo, step: Step, reply: Reply) -> Footprint:
        """Once a step, in the order of each session."""

    def closed(self, session: SessionInfo) -> None: ...


class RaceGate:
    """Implements `Gate`. Everything public is to be used with `moved` held, `arm` excepted."""

    def __init__(self, footprints: Footprints) -> None:
        self.moved = threading.Condition()
        self.running: int | None = None
        """The racer that new work on an unowned session belongs to."""
        self.racers: list[RacerState] = []
        self.strays = 0
        """Choice points of no racer: work of the service's own, or after an answer."""
        self.at_once = False
        """A request sent steps in two sessions at the same time: their order is not controlled."""
        self._footprints = footprints
        self._busy: dict[int, bool] = {}
        """Sessions with a step under way (True) or only a database transaction open (False)."""
        self._owners: dict[int, int] = {}
        self._infos: dict[int, SessionInfo] = {}
        self._passages: dict[int, Passage] = {}
        self._forwarded: list[Passage] = []
        self._armed = False

    def arm(self, racers: int) -> None:
        """Begin a race of this many requests: nothing is owned, nothing is parked."""
        with self.moved:
            for passage in self._passages.values():
                if passage.reply is not None:
                    self.footprint_of(passage)
            self.racers = [RacerState() for _ in range(racers)]
            self.running = None
            self.strays = 0
            self.at_once = False
            self._busy.clear()
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
            self.moved.notify_all()

    def start(self, racer: int) -> None:
        """The racer is about to send its request."""
        self.running, self.racers[racer].started = racer, True

    def finish(self, racer: int, result: Any) -> None:
        """The racer has its answer."""
        with self.moved:
            state = self.racers[racer]
            state.done, state.result = True, result
            state.answered_first = not state.released
            self.moved.notify_all()

    def owns_open_session(self, racer: int) -> bool:
        return racer in self._owners.values()

    @property
    def is_busy(self) -> bool:
        """Whether any session has a step under way or a database transaction open."""
        return bool(self._busy)

    @property
    def busy_pids(self) -> tuple[int, ...]:
        return self._pids(tuple(self._busy))

    @property
    def working_pids(self) -> tuple[int, ...]:
        """Those with a step under way."""
        return self._pids([number for number, working in self._busy.items() if working])

    def is_answering(self, racer: int) -> bool:
        """Whether the database is at work on a step of this racer's that was not parked."""
        return any(p.racer == racer and p.reply is None for p in self._forwarded)

    def pids_of(self, racer: int) -> tuple[int, ...]:
        """Backends that work for this racer just now."""
        return self._pids([number for number, owner in self._owners.items() if owner == racer])

    def _pids(self, numbers: Sequence[int]) -> tuple[int, ...]:
        pids = [self._infos[number].pid for number in numbers if number in self._infos]
        return tuple(pid for pid in pids if pid is not None)

    def forwarded_since(self) -> list[Passage]:
        """Steps that were forwarded at once and have their reply, since the last call."""
        done = [passage for passage in self._forwarded if passage.reply is not None]
        self._forwarded = [passage for passage in self._forwarded if passage.reply is None]
        return done

    def release(self, racer: int, order: ForwardOrder = FORWARD, *, held: bool = True) -> Passage:
        """Let the racer's parked step go, or let this become of it."""
        state = self.racers[racer]
        passage = state.parked
        assert passage is not None, "only a parked racer can be released"
        state.waiting.remove(passage)
        state.flight = passage
        state.released += 1
        passage.order, passage.held, passage.released_s = order, held, time.monotonic()
        self.running = racer
        passage.go.set()
        return passage

    def relay(self, passage: Passage, order: RelayOrder = RELAY) -> None:
        """Let a reply reach its client, or let this become of it: its racer runs on."""
        self.racers[passage.racer].flight = None
        passage.relay_order = order
        self.running = passage.racer
        passage.relay.set()

    def footprint_of(self, passage: Passage) -> Footprint:
        """Of a step whose reply is there. Before the session's next step, or never."""
        assert passage.reply is not None, "only an answered step has a footprint"
        if passage.footprint is None:
            passage.footprint = self._footprints.after(passage.session, passage.step, passage.reply)
        return passage.footprint

    # What the proxy calls, in the session's own threads.

    def opened(self, session: SessionInfo) -> None:
        with self.moved:
            self._infos[session.number] = session

    def arrived(self, session: SessionInfo, step: Step) -> ForwardOrder:
        with self.moved:
            self._infos[session.number] = session
            self._busy[session.number] = True
            last = self._passages.get(session.number)
            if last is not None and last.reply is not None:
                self.footprint_of(last)
            racer = self._racer_of(session.number, step) if self._armed else None
            is_choice = self._footprints.is_choice(session, step)
            if not self._armed or session.number not in self._infos:
                return FORWARD  # Over, or the client hung up meanwhile.
            if racer is None:
                self.strays += is_choice
                self.moved.notify_all()
                return FORWARD
            passage = self._pass(racer, session, step, parked=is_choice)
            if not passage.parked:
                return FORWARD
        passage.go.wait(LEFT_S)
        return passage.order

    def _pass(self, racer: int, session: SessionInfo, step: Step, *, parked: bool) -> Passage:
        now_s = time.monotonic()
        passage = Passage(racer=racer, session=session, step=step, parked=parked, arrived_s=now_s)
        self._owners[session.number] = racer
        self._passages[session.number] = passage
        state = self.racers[racer]
        state.steps += 1
        if parked:
            self.at_once |= bool(state.waiting or state.flight)
            state.waiting.append(passage)
            self.moved.notify_all()
        else:
            passage.released_s = now_s
            self._forwarded.append(passage)
        return passage

    def replied(self, session: SessionInfo, step: Step, reply: Reply) -> RelayOrder:
        with self.moved:
            self._busy[session.number] = False
            if reply.status == "I":
                del self._busy[session.number]
                self._owners.pop(session.number, None)
            passage = self._passages.get(session.number)
            self.moved.notify_all()
            if passage is None or passage.step is not step:
                # Nobody's, and yet it may have set what the session's later steps go by.
                self._footprints.after(session, step, reply)
                return RELAY
            passage.reply, passage.replied_s = reply, time.monotonic()
            if not (passage.parked and self._armed):
                return RELAY
            if not passage.held:
                self.relay(passage)
                return RELAY
        passage.relay.wait(LEFT_S)
        return passage.relay_order

    def closed(self, session: SessionInfo) -> None:
        with self.moved:
            self._infos.pop(session.number, None)
            self._owners.pop(session.number, None)
            self._busy.pop(session.number, None)
            passage = self._passages.pop(session.number, None)
            if passage is not None:
                self._hang_up(passage)
                self.footprint_of(passage)
            self._footprints.closed(session)
            self.moved.notify_all()

    def _racer_of(self, session: int, step: Step) -> int | None:
        """Who owns the session, or else who runs; None for work of the service's own.

        A request that waits out of sight (for a connection, for a lock of the service's own) may
        come at any time, as soon as the running one lets it: then it is waited for a sign of the
        running one, which tells whose the newcomer is.
        """
        if session in self._owners:
            return self._owners[session]
        if step.status_before != "I":
            return None  # Its transaction began before the race, or beside the requests.
        running = self.running
        if running is not None and self._out_of_sight(but=running):
            self.moved.wait_for(lambda: not self._armed or self._is_heard_of(running), UNDECIDED_S)
        if running is not None and not self._is_heard_of(running):
            return running
        if outside := self._out_of_sight(but=running):
            return outside[0]
        if running is None:
            return None
        state = self.racers[running]
        # Whoever was answered before it did anything does it afterwards.
        return None if state.done and state.released else running

    def _is_heard_of(self, racer: int) -> bool:
        state = self.racers[racer]
        return state.done or state.parked is not None or state.flight is not None

    def _out_of_sight(self, *, but: int | None) -> list[int]:
        """Requests that were sent and are nowhere to be seen."""
        return [
            racer
            for racer, state in enumerate(self.racers)
            if racer != but
            and state.started
            and not self._is_heard_of(racer)
            and not self.owns_open_session(racer)
        ]

    def _hang_up(self, passage: Passage) -> None:
        if passage.reply is None:
            passage.reply, passage.replied_s = Reply(lost=True), time.monotonic()
        state = self.racers[passage.racer]
        if passage in state.waiting:
            state.waiting.remove(passage)
        passage.go.set()
        passage.relay.set()
