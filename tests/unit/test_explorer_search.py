"""The search against brute force: no outcome is lost, and no order is run twice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.postgres.explorer.run import Choice, Pending, Run, brought_about
from attacks.postgres.explorer.search import Following, Search, still_asleep
from attacks.postgres.footprint import ADVISORY, Footprint, nothing
from attacks.postgres.trace import Step
from tests.unit.simulated_database import (
    Operation,
    Script,
    World,
    every_end,
    every_outcome,
    forced,
    switches,
)

ROWS = ("w", "x", "y", "z")


@dataclass(frozen=True, kw_only=True)
class Searched:
    search: Search
    orders: tuple[tuple[int, ...], ...]
    outcomes: frozenset[object]


def searched(
    scripts: Sequence[Script], *, reduce: bool, most_preemptions: int | None = None
) -> Searched:
    search = Search(reduce=reduce, most_preemptions=most_preemptions)
    orders, outcomes = [], set()
    while not search.finished:
        branch = search.next()
        world = World(scripts=scripts)
        run = forced(world, Following(branch=branch, reduce=reduce))
        search.record(branch, run)
        if not run.gave_up:
            orders.append(run.order)
            outcomes.add(world.outcome)
    assert search.explored == len(orders)
    return Searched(search=search, orders=tuple(orders), outcomes=frozenset(outcomes))


def does(kind: str, *rows: str, **more: object) -> Operation:
    return Operation(kind=kind, rows=rows, **more)  # type: ignore[arg-type]


some_rows = st.lists(st.sampled_from(ROWS), min_size=1, max_size=2, unique=True).map(tuple)
one_row = st.sampled_from(ROWS).map(lambda row: (row,))
operations = st.one_of(
    st.builds(Operation, kind=st.sampled_from(("read", "lock")), rows=some_rows),
    st.builds(Operation, kind=st.sampled_from(("try lock", "unlock")), rows=one_row),
    st.builds(
        Operation,
        kind=st.just("write"),
        rows=some_rows,
        reads=st.one_of(st.just(()), some_rows),
        fork=st.one_of(st.none(), st.permutations(ROWS).map(lambda rows: (rows[0], rows[1]))),
        autocommit=st.booleans(),
    ),
)
ends = st.sampled_from((does("commit"), does("commit"), does("commit"), does("rollback")))


def scripts_of(most: int) -> st.SearchStrategy[Script]:
    return st.builds(
        lambda body, end, isolation: Script(operations=(*body, end), isolation=isolation),
        st.lists(operations, min_size=1, max_size=most),
        ends,
        st.sampled_from(("read committed", "read committed", "repeatable read")),
    )


pairs = st.tuples(scripts_of(3), scripts_of(3))
triples = st.tuples(scripts_of(2), scripts_of(2), scripts_of(2))
small_triples = st.tuples(scripts_of(1), scripts_of(1), scripts_of(1))


def _agrees_with_brute_force(scripts: Sequence[Script]) -> None:
    ends = list(every_end(scripts))
    everything = searched(scripts, reduce=False)
    reduced = searched(scripts, reduce=True)
    assert sorted(everything.orders) == sorted(order for order, _ in ends)
    assert everything.outcomes == {world.outcome for _, world in ends}
    assert reduced.outcomes == everything.outcomes
    assert set(reduced.orders) <= set(everything.orders)
    assert len(set(reduced.orders)) == len(reduced.orders), "an order was run twice"
    assert not everything.search.diverged
    assert not reduced.search.diverged
    assert everything.search.pruned == 0


@settings(max_examples=60)
@given(pairs)
def test_two_sessions_lose_no_outcome(scripts: Sequence[Script]) -> None:
    _agrees_with_brute_force(scripts)


@settings(max_examples=40)
@given(small_triples)
def test_three_sessions_lose_no_outcome(scripts: Sequence[Script]) -> None:
    _agrees_with_brute_force(scripts)


@settings(max_examples=50)
@given(triples)
def test_three_longer_sessions_lose_no_outcome(scripts: Sequence[Script]) -> None:
    reduced = searched(scripts, reduce=True)
    assert reduced.outcomes == every_outcome(scripts)
    assert len(set(reduced.orders)) == len(reduced.orders)


@settings(max_examples=60)
@given(pairs, st.integers(0, 3))
def test_a_preemption_bound_is_met_exactly(scripts: Sequence[Script], bound: int) -> None:
    bounded = searched(scripts, reduce=False, most_preemptions=bound)
    within = [order for order, world in every_end(scripts) if switches(world) <= bound]
    assert sorted(bounded.orders) == sorted(within)


COMMIT = does("commit")
UNSOUND_ONCE = {
    "who closes a circle of waits is its victim, also where the rows are different ones": (
        (does("try lock", "v"),),
        (does("lock", "x"), does("lock", "y"), COMMIT),
        (does("lock", "y", "v"), does("lock", "x"), COMMIT),
    ),
    "a commit lets a statement come as far as its next lock": (
        (does("write", "x", "w", "z", reads=("t",)), COMMIT),
        (does("lock", "x"), COMMIT),
        (does("write", "t", autocommit=True), does("lock", "z"), does("try lock", "w"), COMMIT),
    ),
}


@pytest.mark.parametrize("programs", UNSOUND_ONCE.values(), ids=UNSOUND_ONCE.keys())
def test_waits_are_no_way_to_lose_an_outcome(programs: Sequence[Sequence[Operation]]) -> None:
    for sessions in permutations(programs):
        scripts = [Script(operations=tuple(operations)) for operations in sessions]
        assert searched(scripts, reduce=True).outcomes == every_outcome(scripts)


def test_what_commutes_is_run_once_and_the_rest_is_counted() -> None:
    reader = Script(operations=(does("read", "x"), does("read", "y"), COMMIT))
    reduced = searched([reader, reader], reduce=True)
    assert reduced.search.explored == 1
    assert reduced.search.pruned > 0
    assert searched([reader, reader], reduce=False).search.explored == 20


def test_what_is_not_repeatable_is_counted_and_followed_no_further() -> None:
    scripts = [Script(operations=(does("write", "x"), COMMIT))] * 2
    search = Search(reduce=True)
    first = search.next()
    search.record(first, forced(World(scripts=scripts), Following(branch=first, reduce=True)))
    branch = search.next()
    shorter = [Script(operations=(COMMIT,))] * 2
    run = forced(World(scripts=shorter), Following(branch=branch, reduce=True))
    search.record(branch, run)
    assert search.diverged == 1
    assert search.explored == 1


def test_another_choice_at_the_same_beginning_is_not_repeatable_either() -> None:
    search = Search(reduce=False)
    search.record(search.next(), _run((0, 1), (0, 1)))
    branch = search.next()
    assert branch.order == (1,)
    search.record(branch, _run((1,), (1,)))
    assert search.diverged == 1


def test_a_racer_that_cannot_go_as_forced_gives_the_schedule_up() -> None:
    search = Search(reduce=False)
    search.record(search.next(), _run((0, 1), (0, 1)))
    chooser = Following(branch=search.next(), reduce=False)
    assert chooser(0, [_pending(0)], None) is None


def test_a_reduced_search_has_no_bound() -> None:
    with pytest.raises(ValueError, match="set reduce=False"):
        Search(most_preemptions=2)


def test_what_depends_on_a_step_is_awake_after_it() -> None:
    write_x, read_y = Footprint(writes=frozenset("x")), Footprint(reads=frozenset("y"))
    asleep = {0: write_x, 1: read_y}
    assert still_asleep(asleep, write_x) == {1: read_y}
    assert still_asleep(asleep, Footprint(unknown=True)) == {}


def test_a_choice_is_what_it_let_go_and_what_it_woke() -> None:
    scripts = [Script(operations=(does("write", "x"), COMMIT))] * 2
    world = World(scripts=scripts)
    for racer in (0, 1):
        world.release(racer)
    assert world.footprint(1).unknown, "it waits, and nobody knows what it will have touched"
    assert not world.footprint(0).unknown
    world.release(0)
    woken = world.footprint(2)
    assert woken.ends
    assert woken.committed_writes == {"x"}
    assert woken.writes == {"x"}
    assert not world.footprint(1).unknown
    assert "x" in world.footprint(1).writes
    assert world.footprint(1).writes - {"x"}, "that it had to wait"


def test_an_advisory_unlock_lets_others_come_further_without_an_end() -> None:
    world = World(scripts=[Script(operations=(does("write", "x"), COMMIT))] * 2)
    for racer in (0, 1, 0):
        world.release(racer)
    (first, _), (waited, _), (commit, _) = sorted(world.completed, key=lambda c: c[0].began)[:3]
    unlock = replace(commit, footprint=Footprint(writes=frozenset({ADVISORY})), choice=2)
    completed = [(first, 0), (unlock, 2), (replace(waited, choice=1), 3)]
    assert brought_about(2, completed, ()).writes == {ADVISORY, "x"}
    quiet = replace(unlock, footprint=nothing())
    assert brought_about(2, [(first, 0), (quiet, 2), (waited, 3)], ()).writes == frozenset()
    assert brought_about(2, [(first, 0), (unlock, 2)], (1,)).unknown


def _pending(racer: int) -> Pending:
    step = Step(session=racer + 1, number=1, kind="query", sql="SELECT 1")
    return Pending(racer=racer, step=step)


def _run(order: tuple[int, ...], enabled: tuple[int, ...]) -> Run:
    choices = tuple(
        Choice(racer=racer, enabled=enabled[i:] if i else enabled, footprint=nothing())
        for i, racer in enumerate(order)
    )
    return Run(choices=choices, taken=(), results=())
