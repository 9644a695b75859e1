"""Whose statement is it? The race gate by itself: who runs, and who waits out of sight."""

import threading
from collections.abc import Iterator

import pytest

from attacks.postgres.explorer import race_gate
from attacks.postgres.explorer.race_gate import Passage, RaceGate
from attacks.postgres.footprint import Footprint
from attacks.postgres.trace import Reply, SessionInfo, Step, TransactionStatus

WAIT_S = 5.0


class Sessions:
    """Sends steps through a gate as the proxy does, each session in a thread of its own."""

    def __init__(self, gate: RaceGate) -> None:
        self.gate = gate
        self.threads: list[threading.Thread] = []

    def send(self, session: int, sql: str, *, status: TransactionStatus = "I") -> None:
        """Returns when the gate has seen the step; who waits goes on in a thread."""
        thread = threading.Thread(target=self._arrive, args=(session, sql, status), daemon=True)
        self.threads.append(thread)
        thread.start()

    def _arrive(self, session: int, sql: str, status: TransactionStatus) -> None:
        info = SessionInfo(number=session, pid=session * 100)
        step = Step(session=session, number=1, kind="query", sql=sql, status_before=status)
        self.gate.arrived(info, step)
        self.gate.replied(info, step, Reply(tag="X", status="T" if sql == "BEGIN" else "I"))

    def parked(self, racer: int) -> Passage:
        with self.gate.moved:
            state = self.gate.racers[racer]
            assert self.gate.moved.wait_for(lambda: state.parked is not None, WAIT_S)
            assert state.parked is not None
            return state.parked

    def wait_for_stray(self) -> None:
        with self.gate.moved:
            assert self.gate.moved.wait_for(lambda: self.gate.strays > 0, WAIT_S)


class NoFootprints:
    """Implements `Footprints`: nothing is known, and everything but BEGIN and pings parks."""

    def is_choice(self, _: SessionInfo, step: Step) -> bool:
        return step.sql not in ("BEGIN", "SELECT 1")

    def needs_locks(self, *_: object) -> bool:
        return False

    def after(self, *_: object) -> Footprint:
        return Footprint(unknown=True)

    def closed(self, *_: object) -> None:
        """Nothing is kept."""


@pytest.fixture
def gate() -> RaceGate:
    gate = RaceGate(NoFootprints())
    gate.arm(3)
    return gate


@pytest.fixture
def sessions(gate: RaceGate) -> Iterator[Sessions]:
    opened = Sessions(gate)
    yield opened
    gate.disarm()
    for thread in opened.threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()


def start(gate: RaceGate, racer: int) -> None:
    with gate.moved:
        gate.start(racer)


def finish_step(gate: RaceGate, passage: Passage) -> None:
    """Release a parked step and relay its reply."""
    with gate.moved:
        gate.release(passage.racer)
        assert gate.moved.wait_for(lambda: passage.reply is not None, WAIT_S)
        gate.relay(passage)


def test_new_work_belongs_to_who_runs(gate: RaceGate, sessions: Sessions) -> None:
    start(gate, 0)
    sessions.send(1, "a")
    assert sessions.parked(0).session.number == 1
    start(gate, 1)
    sessions.send(2, "b")
    assert sessions.parked(1).session.number == 2


def test_a_session_is_free_for_others_when_its_transaction_is_over(
    gate: RaceGate, sessions: Sessions
) -> None:
    start(gate, 0)
    sessions.send(1, "a")
    finish_step(gate, sessions.parked(0))
    gate.finish(0, None)
    start(gate, 1)
    sessions.send(1, "b")
    assert sessions.parked(1).step.sql == "b"


def test_who_waited_out_of_sight_gets_the_session_when_the_other_has_its_answer(
    gate: RaceGate, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race_gate, "UNDECIDED_S", WAIT_S)
    start(gate, 0)
    sessions.send(1, "a")
    start(gate, 1)  # Its request waits for a connection.
    finish_step(gate, sessions.parked(0))
    sessions.send(1, "b")  # Comes before the answer of the first one is known.
    gate.finish(0, None)
    assert sessions.parked(1).step.sql == "b"
    assert gate.strays == 0


def test_who_runs_keeps_its_work_while_another_one_waits_out_of_sight(
    gate: RaceGate, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race_gate, "UNDECIDED_S", 0.0)
    start(gate, 0)
    sessions.send(1, "a")
    start(gate, 1)
    finish_step(gate, sessions.parked(0))
    sessions.send(2, "b")
    assert sessions.parked(0).step.sql == "b"


def test_work_after_every_answer_is_the_services_own(gate: RaceGate, sessions: Sessions) -> None:
    start(gate, 0)
    sessions.send(1, "a")
    finish_step(gate, sessions.parked(0))
    gate.finish(0, None)
    sessions.send(2, "SELECT 1")
    sessions.send(3, "b")
    sessions.wait_for_stray()
    for thread in sessions.threads:
        thread.join(WAIT_S)
    assert gate.strays == 1, "a ping is none"


def test_who_was_answered_before_its_first_statement_is_followed(
    gate: RaceGate, sessions: Sessions
) -> None:
    start(gate, 0)
    gate.finish(0, None)
    sessions.send(1, "a")
    assert sessions.parked(0).step.sql == "a"
    assert gate.racers[0].answered_first


def test_a_transaction_that_began_before_the_race_is_nobodys(
    gate: RaceGate, sessions: Sessions
) -> None:
    start(gate, 0)
    sessions.send(1, "a", status="T")
    sessions.wait_for_stray()
    assert gate.racers[0].parked is None


def test_two_steps_of_one_request_at_once_are_both_kept(gate: RaceGate, sessions: Sessions) -> None:
    start(gate, 0)
    sessions.send(1, "a")
    first = sessions.parked(0)
    sessions.send(2, "b")
    with gate.moved:
        assert gate.moved.wait_for(lambda: gate.at_once, WAIT_S)
    finish_step(gate, first)
    assert sessions.parked(0).step.sql == "b"


def test_no_step_goes_while_the_one_before_waits_for_its_reply(
    gate: RaceGate, sessions: Sessions
) -> None:
    start(gate, 0)
    sessions.send(1, "a")
    sessions.parked(0)
    sessions.send(2, "b")
    with gate.moved:
        assert gate.moved.wait_for(lambda: len(gate.racers[0].waiting) == 2, WAIT_S)
        gate.release(0)
        assert gate.racers[0].parked is None


def test_sessions_at_work_are_known_after_the_race(gate: RaceGate, sessions: Sessions) -> None:
    start(gate, 0)
    sessions.send(1, "BEGIN")
    sessions.threads[0].join(WAIT_S)
    with gate.moved:
        assert (gate.busy_pids, gate.working_pids) == ((100,), ())
        assert gate.owns_open_session(0)
    gate.closed(SessionInfo(number=1, pid=100))
    with gate.moved:
        assert not gate.is_busy
        assert not gate.owns_open_session(0)
