"""Overlap that is forced for requests of one statement each: what counts, and what is said."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from attacks.postgres.explorer.exploring import Explored, Tried
from attacks.postgres.explorer.held_back import HeldBack
from attacks.postgres.explorer.run import Choice, Choose, Pending, Run, Taken
from attacks.postgres.footprint import Footprint, nothing
from attacks.postgres.trace import Reply, Step
from scenarios.forced_overlap import ONE_STATEMENT, force_overlap, lacks_overlap

CALL = Step(session=1, number=1, kind="query", sql="CALL pay()")
PENDING = [Pending(racer=0, step=CALL), Pending(racer=1, step=CALL)]


def run_of(*spans: tuple[int, int, int], uncontrolled: Sequence[str] = ()) -> Run:
    """From the racer, the beginning and the end of each step."""
    return Run(
        choices=tuple(
            Choice(racer=racer, enabled=(0, 1), footprint=nothing()) for racer, _, _ in spans
        ),
        taken=tuple(
            Taken(
                racer=racer, step=CALL, reply=Reply(), choice=number, began=began, ended=ended,
                footprint=nothing(),
            )
            for number, (racer, began, ended) in enumerate(spans)
        ),
        results=(None, None),
        uncontrolled=tuple(uncontrolled),
    )  # fmt: skip


SERIAL = run_of((0, 1, 2), (1, 3, 4))
AT_ONCE = run_of((0, 1, 3), (1, 2, 4))


@dataclass(kw_only=True)
class Attempts:
    """A place where only some locks make anybody wait, and some orders lose."""

    waited_for: frozenset[int]
    loses: Callable[[int, tuple[int, int]], bool] = lambda *_: False
    uncontrolled: Sequence[str] = ()
    tried: list[tuple[int, tuple[int, int]]] = field(default_factory=list)

    def __call__(self, choose: Choose, *, held: int) -> Tried:
        first = choose(0, PENDING, None)
        assert first is not None
        order = (first, 1 - first)
        self.tried.append((held, order))
        if held not in self.waited_for:
            return Tried(run=SERIAL, violations=0, held=held)
        run = run_of((order[0], 1, 3), (order[1], 2, 4), uncontrolled=self.uncontrolled)
        return Tried(run=run, violations=int(self.loses(held, order)), held=held)


def searched(**changes: object) -> Explored:
    explored = Explored(explored=2, exhausted=True, alone=(1, 1))
    for name, value in changes.items():
        setattr(explored, name, value)
    return explored


def test_steps_that_are_under_way_at_once_overlap() -> None:
    assert not SERIAL.overlapped
    assert AT_ONCE.overlapped
    assert not run_of((0, 1, 3), (0, 2, 4)).overlapped, "one racer does not race"


def test_only_what_never_overlapped_and_never_lost_is_held_back() -> None:
    assert lacks_overlap(searched(), 2)
    assert not lacks_overlap(searched(), 1)
    assert not lacks_overlap(searched(overlapped=1), 2)
    assert lacks_overlap(searched(overlapped=1, serial=Tried(run=SERIAL, violations=0)), 2)
    assert not lacks_overlap(searched(losing=Tried(run=SERIAL, violations=1)), 2)
    assert not lacks_overlap(searched(alone=(1, 0)), 2), "one of them sends no statement"


def test_every_lock_is_tried_in_every_order_and_only_overlap_counts() -> None:
    attempts = Attempts(waited_for=frozenset({1}))
    explored = searched(serial=Tried(run=SERIAL, violations=0))
    force_overlap(explored, attempts, racers=2, locks=3)
    orders = [(0, 1), (1, 0)]
    assert attempts.tried == [(held, order) for held in range(3) for order in orders]
    assert (explored.explored, explored.overlapped, explored.violated) == (4, 2, 0)
    assert not explored.exhausted
    assert explored.reasons == [ONE_STATEMENT]
    assert explored.vacuous is None


def test_requests_that_nothing_could_hold_back_say_nothing() -> None:
    explored = searched(serial=Tried(run=SERIAL, violations=0))
    force_overlap(explored, Attempts(waited_for=frozenset()), racers=2, locks=3)
    assert (explored.explored, explored.overlapped) == (2, 0)
    assert explored.vacuous == ONE_STATEMENT


def test_the_first_loss_ends_it_and_is_tried_again() -> None:
    attempts = Attempts(
        waited_for=frozenset({0, 1}), loses=lambda held, order: (held, order) == (0, (1, 0))
    )
    explored = searched()
    force_overlap(explored, attempts, racers=2, locks=2)
    assert explored.losing is not None
    assert explored.losing.held == 0
    assert (explored.violated, explored.first_violation) == (1, 4)
    assert explored.reproduced == (10, 10)
    assert attempts.tried == [(0, (0, 1))] + [(0, (1, 0))] * 11


def test_waits_out_of_sight_are_told() -> None:
    explored = searched()
    force_overlap(
        explored, Attempts(waited_for=frozenset({0}), uncontrolled=["slow"]), racers=2, locks=1
    )
    assert explored.uncontrolled == 2
    assert explored.reasons == ["slow", ONE_STATEMENT]


@dataclass(kw_only=True)
class Server:
    """What the observer and the side session would say and do."""

    pid: int = 99
    released: int = 0
    asked: list[Sequence[int]] = field(default_factory=list)

    def release(self) -> None:
        self.released += 1

    def blocked(self, pid: int, pids: Sequence[int]) -> bool:
        self.asked.append((pid, *pids))
        return True

    def blockers(self, pid: int) -> tuple[int, ...]:
        return (pid + 1,)

    def xid(self, pid: int) -> int | None:
        return pid

    def terminate(self, pid: int) -> None:
        self.asked.append((pid,))


def test_the_holder_lets_go_once_and_only_when_all_have_come() -> None:
    server = Server()
    back = HeldBack(waits=server, holder=server, racers=2, outside=nothing)
    choose = back.choosing(lambda *_: next(racers))
    racers = iter([1, 0, 0])
    released = []
    for position in range(3):
        choose(position, PENDING, None)
        for _ in range(2):  # Before the step and after it.
            assert back.look_outside() == Footprint()
            released.append(server.released)
    assert released == [0, 0, 0, 1, 1, 1]


def test_who_waits_for_the_holder_is_seen_to_wait() -> None:
    server = Server()
    back = HeldBack(waits=server, holder=server, racers=2, outside=nothing)
    assert back.blocked(1, [2])
    assert (back.blockers(1), back.xid(3)) == ((2,), 3)
    back.terminate(4)
    assert server.asked == [(1, 2, 99), (4,)]
