"""Forcing one schedule: admits the racing requests, then lets one statement go at a time.

A racer is *parked* (its next step waits at the proxy), *blocked* (its step waits for a lock inside
PostgreSQL, which is asked and never guessed), *done*, or *outside*: it waits for something that
the proxy cannot see. At any moment only one racer runs.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from attacks.postgres.explorer.diagnosis import (
    AT_ONCE,
    CIRCLE,
    LEFT_OPEN,
    OF_ITS_OWN,
    SLOW,
    STRANGER,
    Diagnosis,
    too_many_steps,
)
from attacks.postgres.explorer.ending import QUIET_S, Ends, end_race, wait_until_quiet
from attacks.postgres.explorer.race_gate import Footprints, Passage, RaceGate
from attacks.postgres.explorer.run import (
    Choice,
    Choose,
    Pending,
    Racer,
    Run,
    Struck,
    Taken,
    brought_about,
)
from attacks.postgres.faults import Fault
from attacks.postgres.footprint import Footprint, nothing, together
from attacks.postgres.gate import ForwardOrder, RelayOrder
from attacks.postgres.grammar import parse

ASK_AFTER_S = 0.0004
"""Most statements have answered by then; after it PostgreSQL is asked whether they wait."""
ASK_EVERY_S = 0.0002
ASK_AT_LEAST_EVERY_S = 0.01
RACE_BOUND_S = 3.0
STEPS_BOUND = 200


class Waits(Ends, Protocol):
    """What is asked of PostgreSQL beside the race."""

    def blocked(self, pid: int, pids: Sequence[int]) -> bool: ...

    def blockers(self, pid: int) -> tuple[int, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How long a race may take, and each of its waits."""

    outside_s: float = 0.5
    """A racer that is neither parked nor blocked nor done after this waits out of sight."""
    race_s: float = RACE_BOUND_S
    """Late replies not counted."""
    late_s: float = 5.0
    """How long a late reply is kept at most."""
    steps: int = STEPS_BOUND
    """Steps of one request: a service that retries for ever is stopped here."""
    deadlock_check_s: float = 0.0
    """PostgreSQL's deadlock_timeout, when short enough to wait for before each release while
    somebody is blocked: then the victim of a deadlock is always the one that closed the circle."""


@dataclass(frozen=True, kw_only=True)
class Aim:
    """Where a fault is to strike: at the choice with this position, counted from 0."""

    position: int
    fault: Fault


@dataclass(kw_only=True)
class _Begun:
    """A released step that is followed until its reply."""

    passage: Passage
    choice: int
    began: int
    waited_for: tuple[int, ...] = ()
    blocked_since_s: float | None = None


@dataclass(kw_only=True)
class Forcing:
    """One race under way. Use once: `Forcing(…).run(choose)`."""

    gate: RaceGate
    waits: Waits
    footprints: Footprints
    racers: Sequence[Racer]
    bounds: Bounds = field(default_factory=Bounds)
    diagnosis: Diagnosis
    outside: Callable[[], Footprint] = nothing
    """What requests did outside the database since it was asked before, if somebody sees it."""
    aim: Aim | None = None
    only: frozenset[int] | None = None
    """The racers that take part; None for all."""
    _struck: Struck | None = None
    _choices: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    _taken: list[tuple[Taken, int]] = field(default_factory=list)
    _begun: dict[int, _Begun] = field(default_factory=dict)
    _uncontrolled: list[str] = field(default_factory=list)
    _touched: dict[int, Footprint] = field(default_factory=dict)
    _tick: int = 0
    _until_s: float = 0.0

    def run(self, choose: Choose) -> Run:
        """Force the schedule that `choose` decides. Raises nothing of the racers'."""
        began_s = time.monotonic()
        self._until_s = began_s + self.bounds.race_s
        self.gate.arm(len(self.racers))
        threads: list[threading.Thread] = []
        gave_up = False
        try:
            self._leave_out_others()
            threads.extend(self._admit(racer) for racer in self._taking_part)
            while (enabled := self._wait_for_enabled()) and not gave_up:
                gave_up = not self._choose(choose, enabled)
            self._look_back(gave_up)
        finally:
            self._end(threads, gave_up)
        return self._result(gave_up, time.monotonic() - began_s)

    @property
    def _taking_part(self) -> Sequence[int]:
        return [r for r in range(len(self.racers)) if self.only is None or r in self.only]

    def _leave_out_others(self) -> None:
        with self.gate.moved:
            for racer in set(range(len(self.racers))).difference(self._taking_part):
                self.gate.racers[racer].done = True

    def _admit(self, racer: int) -> threading.Thread:
        with self.gate.moved:
            self.gate.start(racer)
        thread = threading.Thread(target=self._race, args=(racer,), daemon=True)
        thread.start()
        self._settle(racer)
        return thread

    def _race(self, racer: int) -> None:
        try:
            result = self.racers[racer]()
        except Exception as error:  # noqa: BLE001 - handed on as the racer's result
            result = error
        self.gate.finish(racer, result)

    def _choose(self, choose: Choose, enabled: Sequence[Pending]) -> bool:
        """Whether a racer was chosen and released."""
        position = len(self._choices)
        before = self._choice(position - 1).footprint if position else None
        racer = choose(position, enabled, before)
        if racer is None:
            return False
        self._choices.append((racer, tuple(pending.racer for pending in enabled)))
        self.outside()
        self._release(racer)
        self._touched[position] = self.outside()
        return True

    def _wait_for_enabled(self) -> list[Pending]:
        """Racers that may go next; empty when all have ended or nothing moves any more."""
        while time.monotonic() < self._until_s:
            self._collect_forwarded()
            with self.gate.moved:
                states = self.gate.racers
                if any(state.steps > self.bounds.steps for state in states):
                    self._note(too_many_steps(self.bounds.steps))
                    return []
                parked = [(i, s.parked) for i, s in enumerate(states) if s.parked]
                if parked:
                    return [Pending(racer=i, step=passage.step) for i, passage in parked]
                if all(self._over(i) for i in range(len(states))):
                    return []
            if not self._wake_blocked() and not self._wait_outside():
                break
        else:
            self._note(f"the race was not over after {self.bounds.race_s:g} s")
        return []

    def _wake_blocked(self) -> bool:
        """Nobody is parked: a deadlock is about to be ended, or somebody outside moves on."""
        if not self._begun:
            return False
        with self.gate.moved:
            self.gate.moved.wait_for(self._some_reply, timeout=self.bounds.outside_s)
            moved = self._some_reply()
        if not moved:
            self._note(CIRCLE)
            return False
        self._resolve()
        return True

    def _some_reply(self) -> bool:
        return any(begun.passage.reply for begun in self._begun.values())

    def _wait_outside(self) -> bool:
        with self.gate.moved:
            patience = 1 if all(state.done for state in self.gate.racers) else 4
            timeout_s = self.bounds.outside_s * patience
            return self.gate.moved.wait_for(self._someone_moved, timeout=timeout_s)

    def _someone_moved(self) -> bool:
        states = self.gate.racers
        return any(s.parked for s in states) or all(self._over(i) for i in range(len(states)))

    def _over(self, racer: int) -> bool:
        return self.gate.racers[racer].done and not self.gate.owns_open_session(racer)

    # Releasing a step and following it until everything is at rest again.

    def _release(self, racer: int) -> None:
        with self.gate.moved:
            parked = self.gate.racers[racer].parked
        assert parked is not None, "the chooser takes one that is parked"
        self._let_deadlock_checks_pass(parked)
        choice = len(self._choices) - 1
        fault = self.aim.fault if self.aim and self.aim.position == choice else None
        order = self._strike(fault, choice, racer, parked) if fault else parked.order
        with self.gate.moved:
            if self.gate.racers[racer].parked is None:
                return  # Its connection died under the fault.
            held = fault is not None or bool(self._begun)
            held = held or self.footprints.needs_locks(parked.session, parked.step)
            passage = self.gate.release(racer, order, held=held)
        self._tick += 1
        self._begun[racer] = _Begun(passage=passage, choice=choice, began=self._tick)
        if self._answered_or_blocked(racer):
            self._resolve()

    def _strike(self, fault: Fault, position: int, racer: int, passage: Passage) -> ForwardOrder:
        """What the fault makes of the step. The xid is asked for while it can still be known."""
        pid = passage.session.pid
        self._struck = Struck(
            position=position,
            racer=racer,
            step=passage.step,
            fault=fault.name,
            xid=self.waits.xid(pid) if pid is not None else None,
        )
        return fault.before(passage.session)

    def _relay_order(self, begun: _Begun) -> RelayOrder:
        if self.aim is None or begun.choice != self.aim.position:
            return begun.passage.relay_order
        fault = self.aim.fault
        if fault.late:
            kept_s = time.monotonic()
            with self.gate.moved:
                racer = self.gate.racers[begun.passage.racer]
                self.gate.moved.wait_for(lambda: racer.done, timeout=self.bounds.late_s)
            self._until_s += time.monotonic() - kept_s
        return fault.after(begun.passage.session)

    def _let_deadlock_checks_pass(self, parked: Passage) -> None:
        """Before a step that might close a circle, so that it is the one that PostgreSQL ends."""
        if not set(parse(parked.step.sql).kinds) - {"commit", "rollback"}:
            return
        since = [b.blocked_since_s for b in self._begun.values() if b.blocked_since_s is not None]
        if since and self.bounds.deadlock_check_s:
            left_s = max(since) + self.bounds.deadlock_check_s - time.monotonic()
            if left_s > 0:
                time.sleep(left_s)  # PostgreSQL's timer, not a guess: see Bounds.deadlock_check_s.

    def _answered_or_blocked(self, racer: int) -> bool:
        """True when the step has its reply; False when it waits for a lock or out of sight."""
        begun = self._begun[racer]
        passage = begun.passage
        until_s = time.monotonic() + self.bounds.outside_s
        wait_s = ASK_AFTER_S if begun.blocked_since_s is None else 0.0
        while True:
            with self.gate.moved:
                if self.gate.moved.wait_for(lambda: passage.reply is not None, timeout=wait_s):
                    return True
                pid = passage.session.pid
                others = self._pids_but(racer)
            if pid is not None and self.waits.blocked(pid, others):
                self._is_blocked(begun, pid)
                return False
            if time.monotonic() > until_s:
                return self._slow(begun, pid)
            wait_s = min(max(wait_s, ASK_EVERY_S) * 1.5, ASK_AT_LEAST_EVERY_S)

    def _is_blocked(self, begun: _Begun, pid: int) -> None:
        holders = self._holders(pid)
        if begun.blocked_since_s is None or holders != begun.waited_for[-len(holders) :]:
            begun.blocked_since_s = time.monotonic()
            begun.waited_for += tuple(h for h in holders if h not in begun.waited_for)

    def _slow(self, begun: _Begun, pid: int | None) -> bool:
        """A statement that takes long without waiting for a racer."""
        strangers = self.waits.blockers(pid) if pid is not None else ()
        if strangers:
            self._note(STRANGER)
            begun.blocked_since_s = time.monotonic()
            return False
        with self.gate.moved:
            done = self.gate.moved.wait_for(
                lambda: begun.passage.reply is not None,
                timeout=max(0.0, self._until_s - time.monotonic()),
            )
        if not done:
            self._note(SLOW)
        return done

    def _resolve(self) -> None:
        """Let every reply through, one racer at a time, until what is left waits for a lock."""
        while ready := self._answered():
            for racer in ready:
                self._complete(racer)

    def _answered(self) -> list[int]:
        """Racers whose replies are there, once every blocked one has moved or is blocked anew.

        A finished step may have let several sessions go on: each is asked for before any goes on.
        """
        for racer, begun in self._begun.items():
            if begun.blocked_since_s is not None and begun.passage.reply is None:
                self._answered_or_blocked(racer)
        return [racer for racer, begun in self._begun.items() if begun.passage.reply]

    def _complete(self, racer: int) -> None:
        begun = self._begun[racer]
        passage = begun.passage
        assert passage.reply is not None, "only an answered step is completed"
        del self._begun[racer]
        self._tick += 1
        with self.gate.moved:
            footprint = self.gate.footprint_of(passage)
        self._keep(passage, footprint, begun)
        if passage.held:
            order = self._relay_order(begun)
            with self.gate.moved:
                self.gate.relay(passage, order)
        self._settle(racer)

    def _settle(self, racer: int) -> None:
        """Wait until the running racer is parked or over; else it waits out of sight."""
        with self.gate.moved:
            state = self.gate.racers[racer]
            settled = self.gate.moved.wait_for(
                lambda: state.parked is not None or self._over(racer),
                timeout=self.bounds.outside_s,
            )
            if state.answered_first and not state.released:
                self.gate.moved.wait_for(lambda: state.parked is not None, timeout=QUIET_S)
            busy, slow = len(self.gate.busy_pids), self.gate.is_answering(racer)
        if settled:
            return
        if state.done or slow:
            self._note(LEFT_OPEN if state.done else SLOW)
        else:
            self._note(self.diagnosis.out_of_sight(busy=busy, requests=len(self.racers)))

    # The end.

    def _look_back(self, gave_up: bool) -> None:
        """What was not as it should be, and to let it come to rest."""
        with self.gate.moved:
            states = self.gate.racers
            early = any(state.answered_first for state in states) or self.gate.strays
        if early and not gave_up:
            wait_until_quiet(self.gate)
        with self.gate.moved:
            # First: the rest may follow from it.
            if self.gate.at_once:
                self._uncontrolled.insert(0, AT_ONCE)
            if self.gate.strays or any(s.answered_first and s.released for s in states):
                self._uncontrolled.insert(0, OF_ITS_OWN)
            nothing = not any(state.steps for state in states) and not self.gate.strays
        if nothing:
            self._note(self.diagnosis.nothing_came())

    def _end(self, threads: Sequence[threading.Thread], gave_up: bool) -> None:
        stuck = bool(self._uncontrolled) and not gave_up
        if refused := end_race(self.gate, threads, self.waits, stuck=stuck):
            self._note(refused)

    # Accounts.

    def _pids_but(self, racer: int) -> list[int]:
        others = range(len(self.gate.racers))
        return [pid for other in others if other != racer for pid in self.gate.pids_of(other)]

    def _holders(self, pid: int) -> tuple[int, ...]:
        blockers = set(self.waits.blockers(pid))
        with self.gate.moved:
            everyone = range(len(self.gate.racers))
            return tuple(r for r in everyone if blockers & set(self.gate.pids_of(r)))

    def _collect_forwarded(self) -> None:
        with self.gate.moved:
            passages = self.gate.forwarded_since()
            footprints = [self.gate.footprint_of(passage) for passage in passages]
        for passage, footprint in zip(passages, footprints, strict=True):
            self._keep(passage, footprint, None)

    def _keep(self, passage: Passage, footprint: Footprint, begun: _Begun | None) -> None:
        assert passage.reply is not None, "only answered steps are kept"
        taken = Taken(
            racer=passage.racer,
            step=passage.step,
            reply=passage.reply,
            choice=begun.choice if begun else None,
            began=begun.began if begun else self._tick,
            ended=self._tick,
            waited_for=begun.waited_for if begun else (),
            footprint=footprint,
            held_s=passage.released_s - passage.arrived_s,
            took_s=passage.replied_s - passage.released_s,
        )
        self._taken.append((taken, len(self._choices) - 1))

    def _note(self, what: str) -> None:
        if what not in self._uncontrolled:
            self._uncontrolled.append(what)

    def _result(self, gave_up: bool, duration_s: float) -> Run:
        self._collect_forwarded()
        states = self.gate.racers
        return Run(
            choices=tuple(self._choice(i) for i in range(len(self._choices))),
            taken=tuple(taken for taken, _ in sorted(self._taken, key=lambda t: t[0].began)),
            results=tuple(state.result for state in states),
            uncontrolled=tuple(self._uncontrolled),
            gave_up=gave_up,
            unfinished=tuple(i for i, state in enumerate(states) if not state.done),
            struck=self._struck,
            duration_s=duration_s,
        )

    def _choice(self, position: int) -> Choice:
        racer, enabled = self._choices[position]
        waiting = [begun.choice for begun in self._begun.values()]
        footprint = brought_about(position, self._taken, waiting)
        footprint = together(footprint, self._touched.get(position, nothing()))
        return Choice(racer=racer, enabled=enabled, footprint=footprint)
