"""A whole search, phase by phase, against a simulated database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings

from attacks.postgres.explorer.diagnosis import NOTHING_CAME
from attacks.postgres.explorer.exploring import Budget, Exploration, Explored, Tried
from attacks.postgres.explorer.run import Choose, Run
from tests.unit.simulated_database import Operation, Script, World, every_end, forced, switches
from tests.unit.test_explorer_search import COMMIT, does, pairs

PAYS = Script(operations=(does("read", "x"), does("write", "x"), COMMIT))
"""Reads without a lock and then writes: an update can be lost."""
PAYS_LOCKED = Script(operations=(does("lock", "x"), does("write", "x"), COMMIT))
READS = Script(operations=(does("read", "x"), does("read", "y"), COMMIT))
TIGHT = Budget(exhaustive=5, bounded=30, random=7, seed=3)


def nothing_is_wrong(_: World) -> bool:
    return False


def an_update_is_lost(world: World) -> bool:
    """Two sessions saw the wallet as it was in the beginning."""
    return sum("(0,)" in session.results for session in world.sessions) > 1


@dataclass(kw_only=True)
class Attempts:
    """Tries schedules of these scripts, as `Exploration` asks for them, and counts them."""

    scripts: Sequence[Script]
    is_wrong: Callable[[World], bool] = nothing_is_wrong
    mars: Callable[[int, Run], Run] = lambda _, run: run
    """Changes what the run with this number was like: something is wrong with the service."""
    runs: list[Run] = field(default_factory=list)
    outcomes: set[object] = field(default_factory=set)

    def __call__(self, choose: Choose) -> Tried:
        world = World(scripts=self.scripts)
        run = self.mars(len(self.runs), forced(world, choose))
        self.runs.append(run)
        if run.gave_up:
            return Tried(run=run, violations=0)
        self.outcomes.add(world.outcome)
        return Tried(run=run, violations=int(self.is_wrong(world)), verdict=world.outcome)


def explored(attempts: Attempts, **changes: Any) -> Explored:
    return Exploration(attempt=attempts, racers=len(attempts.scripts), **changes).run()


@settings(max_examples=40)
@given(pairs)
def test_a_whole_search_sees_every_outcome(scripts: Sequence[Script]) -> None:
    attempts = Attempts(scripts=scripts)
    result = explored(attempts)
    assert result.exhausted, result.reasons
    assert attempts.outcomes == {world.outcome for _, world in every_end(scripts)}
    whole = [run for run in attempts.runs if not run.gave_up]
    assert result.explored == len(whole) - 1, "all but schedule 0 again"
    assert result.vacuous is None
    assert result.duration_s > 0


def test_a_race_that_holds() -> None:
    result = explored(Attempts(scripts=[PAYS_LOCKED] * 2, is_wrong=an_update_is_lost))
    assert result.exhausted
    assert not result.reasons
    assert result.losing is None
    assert result.first_violation is None
    assert not result.violated
    assert result.serial is not None
    assert result.serial.run.order == (0, 0, 0, 1, 1, 1)
    assert result.alone == (3, 3)
    assert result.overlapped > 0
    assert result.pruned == 0
    assert result.preemption_bound is None
    assert result.random_schedules == 0


def test_a_prediction_comes_true_and_is_the_first_violation() -> None:
    result = explored(Attempts(scripts=[PAYS] * 2, is_wrong=an_update_is_lost))
    (lost, shown), *_ = result.predictions
    assert (lost.anomaly, shown) == ("lost update", True)
    assert result.first_violation == 3, "after both serial orders"
    assert result.violated == 2, "every prediction is put to the test"
    assert not result.exhausted
    assert not result.no_race_needed
    assert result.losing is not None
    assert result.losing.run.preemptions == 1
    assert result.reproduced == (10, 10)


@pytest.mark.parametrize("reduce", [True, False])
def test_a_violation_ends_the_search_and_is_minimised(*, reduce: bool) -> None:
    """What comes first in the search has two preemptions; one is enough."""
    wrong = ([0, 0, 1, 0, 1, 1], [0, 1, 1, 1, 0, 0])

    def is_wrong(world: World) -> bool:
        return [racer for racer, _ in world.choices] in wrong

    attempts = Attempts(scripts=[replace(READS, isolation="serializable")] * 2, is_wrong=is_wrong)
    result = explored(attempts, reduce=reduce, reproductions=0)
    assert result.losing is not None
    assert list(result.losing.run.order) == wrong[1]
    assert attempts.runs[result.explored - 1].preemptions == 2
    assert result.first_violation == result.explored
    assert result.violated == 1, "what is tried to minimise is not counted"
    assert result.reproduced is None
    assert not result.exhausted
    assert result.reasons == []


def test_nothing_smaller_leaves_what_was_found() -> None:
    def only_one_order(world: World) -> bool:
        return [racer for racer, _ in world.choices] == [0, 1, 0, 1, 0, 1]

    attempts = Attempts(scripts=[replace(READS, isolation="serializable")] * 2)
    attempts.is_wrong = only_one_order
    result = explored(attempts)
    assert result.losing is not None
    assert result.losing.run.order == (0, 1, 0, 1, 0, 1)


def test_a_request_that_is_not_needed_is_left_out() -> None:
    """Of three racers the first and the last lose by themselves, with the numbers they have."""
    scripts = [PAYS, READS, PAYS]
    groups: list[set[int]] = []

    def lost(world: World) -> bool:
        return all("(0,)" in world.sessions[racer].results for racer in (0, 2))

    def among(group: frozenset[int]) -> Attempts:
        groups.append(set(group))
        quiet = Script(operations=())
        taking_part = [s if racer in group else quiet for racer, s in enumerate(scripts)]
        return Attempts(scripts=taking_part, is_wrong=lost)

    result = explored(Attempts(scripts=scripts, is_wrong=lost), among=among)
    assert result.losing is not None
    assert set(result.losing.run.order) == {0, 2}
    assert result.losing.run.preemptions == 1
    assert groups == [{0, 1}, {0, 2}, {0, 2}], "the last one is forced again"
    assert result.reproduced == (10, 10)


def test_all_requests_stay_where_fewer_do_not_lose() -> None:
    def lost(world: World) -> bool:
        return len({racer for racer, _ in world.choices}) == 3

    def among(group: frozenset[int]) -> Attempts:
        quiet = Script(operations=())
        taking_part = [READS if racer in group else quiet for racer in range(3)]
        return Attempts(scripts=taking_part, is_wrong=lost)

    def only_raced(world: World) -> bool:
        order = [racer for racer, _ in world.choices]
        return lost(world) and order[:4] == [0, 1, 2, 0]

    attempts = Attempts(scripts=[replace(READS, isolation="serializable")] * 3)
    attempts.is_wrong = only_raced
    result = explored(attempts, among=among)
    assert result.losing is not None
    assert set(result.losing.run.order) == {0, 1, 2}


def test_minimising_has_a_bound_of_its_own() -> None:
    attempts = Attempts(scripts=[PAYS] * 2, is_wrong=an_update_is_lost)
    result = explored(attempts, budget=Budget(bounded_s=-1.0))
    assert result.losing is not None
    assert result.losing.run.preemptions == 1
    assert len(attempts.runs) == result.explored + 10, "only what reproduces it"


def test_a_violation_without_a_race() -> None:
    result = explored(Attempts(scripts=[PAYS] * 2, is_wrong=lambda _: True))
    assert result.no_race_needed
    assert result.serial is result.losing is not None
    assert result.explored == result.first_violation == 1
    assert result.reproduced == (10, 10)
    assert result.vacuous is None


def test_all_violations_are_counted_when_it_keeps_going() -> None:
    attempts = Attempts(scripts=[PAYS] * 2, is_wrong=an_update_is_lost)
    result = explored(attempts, keep_going=True, reduce=False)
    lost = [order for order, world in every_end(attempts.scripts) if an_update_is_lost(world)]
    forced_first = 2 + len(result.predictions)
    assert result.exhausted
    assert result.explored == forced_first + len(list(every_end(attempts.scripts)))
    assert result.violated == len(lost) + sum(shown for _, shown in result.predictions)


def test_it_keeps_going_after_a_violation_without_a_race() -> None:
    attempts = Attempts(scripts=[PAYS] * 2, is_wrong=lambda _: True)
    result = explored(attempts, keep_going=True)
    assert result.no_race_needed
    assert result.exhausted
    assert result.violated == result.explored > 1


@pytest.mark.parametrize("racers", [2, 5])
def test_everybody_is_seen_alone(racers: int) -> None:
    short = Script(operations=(does("write", "x", autocommit=True),))
    scripts = [Script(operations=(does("read", "x"),)), *[short] * (racers - 1)]
    result = explored(Attempts(scripts=scripts), budget=Budget(exhaustive=1, bounded=0, random=0))
    assert result.alone == (1,) * racers


def test_what_is_over_budget_is_bounded_and_says_so() -> None:
    result = explored(Attempts(scripts=[PAYS] * 2), budget=TIGHT)
    assert not result.exhausted
    assert result.reasons == ["the search was not over after 5 schedules"]
    assert result.preemption_bound == 2
    assert result.random_schedules == 7
    assert result.vacuous is None


def test_a_bound_that_was_not_worked_off_is_not_claimed() -> None:
    result = explored(Attempts(scripts=[PAYS] * 2), budget=replace(TIGHT, bounded=5))
    bounds = [w for _, w in every_end([PAYS] * 2) if switches(w) <= 1]
    assert len(bounds) > 5
    assert result.preemption_bound is None


def test_time_ends_every_phase() -> None:
    budget = Budget(exhaustive_s=-1.0, bounded_s=-1.0)
    result = explored(Attempts(scripts=[PAYS] * 2), budget=budget)
    assert result.random_schedules == 0
    assert result.preemption_bound is None
    assert result.reasons == ["the search was not over after 0 schedules"]


def test_a_violation_among_the_random_ones_ends_them() -> None:
    attempts = Attempts(scripts=[PAYS] * 2)
    result = Explored()
    search = Exploration(attempt=attempts, racers=2, budget=TIGHT, result=result)
    attempts.is_wrong = lambda _: result.random_schedules == 2
    search.run()
    assert result.random_schedules == 3
    assert result.losing is not None


def test_waits_out_of_sight_are_never_exhausted() -> None:
    why = "a request waits for something in the service's own process"

    def mars(number: int, run: Run) -> Run:
        return replace(run, uncontrolled=(why,)) if number == 4 else run

    result = explored(Attempts(scripts=[PAYS_LOCKED] * 2, mars=mars))
    assert not result.exhausted
    assert result.uncontrolled == 1
    assert result.reasons == result.causes == [why]


def test_a_wait_out_of_sight_counts_in_a_schedule_that_was_given_up() -> None:
    def mars(_: int, run: Run) -> Run:
        return replace(run, uncontrolled=("out of sight",)) if run.gave_up else run

    attempts = Attempts(scripts=[READS] * 2, mars=mars)
    result = explored(attempts)
    assert any(run.gave_up for run in attempts.runs)
    assert result.uncontrolled == 0
    assert result.reasons[0] == "out of sight"
    assert not result.exhausted


def test_a_service_that_serialises_everything_is_given_up_soon() -> None:
    def mars(_: int, run: Run) -> Run:
        alone = tuple(replace(choice, enabled=(choice.racer,)) for choice in run.choices)
        return replace(run, choices=alone, uncontrolled=("serialised",))

    attempts = Attempts(scripts=[PAYS] * 2, mars=mars)
    result = explored(attempts)
    assert len(attempts.runs) == result.explored == 2
    assert result.reasons == ["serialised"]
    assert not result.exhausted


@pytest.mark.parametrize("number", [0, 6])
def test_a_request_that_does_not_end_ends_the_search(number: int) -> None:
    def mars(at: int, run: Run) -> Run:
        return replace(run, unfinished=(1,)) if at == number else run

    attempts = Attempts(scripts=[PAYS] * 2, mars=mars)
    result = explored(attempts)
    assert len(attempts.runs) == number + 1
    assert "a request did not end" in result.reasons
    assert not result.exhausted


def test_state_that_is_not_put_back_is_noticed_at_the_end() -> None:
    undisturbed = Attempts(scripts=[READS] * 2)
    explored(undisturbed)
    last = len(undisturbed.runs) - 1

    def mars(number: int, run: Run) -> Run:
        first, *rest = run.taken
        other = replace(first, reply=replace(first.reply, tag="SELECT 2"))
        return replace(run, taken=(other, *rest)) if number == last else run

    result = explored(Attempts(scripts=[READS] * 2, mars=mars))
    assert not result.exhausted
    (reason,) = result.reasons
    assert reason.startswith("the first schedule, run again at the end, was another one")


def test_other_statements_in_the_same_order_are_noticed() -> None:
    def mars(number: int, run: Run) -> Run:
        first, *rest = run.taken
        other = replace(first, step=replace(first.step, sql="SELECT now()"))
        return replace(run, taken=(other, *rest)) if number == 3 else run

    result = explored(Attempts(scripts=[READS] * 2, mars=mars))
    assert not result.exhausted
    assert any("did not lead to the same statements" in reason for reason in result.reasons)


def test_an_order_that_cannot_be_forced_again_is_noticed() -> None:
    def mars(number: int, run: Run) -> Run:
        turned = tuple(replace(c, racer=1 - c.racer) for c in run.choices)
        return replace(run, choices=turned) if number == 5 else run

    attempts = Attempts(scripts=[PAYS] * 2, mars=mars)
    result = explored(attempts)
    assert not result.exhausted
    assert "1 orders could not be forced again: not repeatable" in result.reasons


def test_a_step_without_a_reply_tells_nothing() -> None:
    """Of a request whose connection died with it."""

    def mars(_: int, run: Run) -> Run:
        return replace(run, taken=run.taken[:-1])

    assert explored(Attempts(scripts=[READS] * 2, mars=mars)).exhausted


def test_one_request_alone_has_one_order() -> None:
    result = explored(Attempts(scripts=[PAYS]))
    assert result.exhausted
    assert result.explored == 2
    assert result.predictions == []


def test_statements_that_never_came_say_nothing() -> None:
    nothing = Script(operations=())
    result = explored(Attempts(scripts=[nothing, nothing]))
    assert result.vacuous == NOTHING_CAME
    result.causes.append("the proxy refused it")
    assert result.vacuous == "the proxy refused it"
    result = explored(Attempts(scripts=[PAYS, nothing]))
    assert result.vacuous == "one of the requests was answered without a statement"


def test_requests_that_never_met_say_nothing() -> None:
    tried = Tried(run=forced(World(scripts=[PAYS]), lambda *_: 0), violations=0)
    result = Explored(serial=tried, alone=(3, 3), explored=2)
    assert result.vacuous == "no two requests were ever under way at once"
    result.doubt("the search was not over after 0 schedules")
    result.doubt("the search was not over after 0 schedules")
    assert result.reasons == ["the search was not over after 0 schedules"] == [result.vacuous]
    assert replace(result, overlapped=1).vacuous is None


def test_workers_share_one_search() -> None:
    places = [Attempts(scripts=[PAYS] * 2) for _ in range(3)]
    result = explored(places[0], elsewhere=places[1:], reduce=False)
    ran = [run.order for place in places for run in place.runs]
    assert result.exhausted
    assert {order for order, _ in every_end([PAYS] * 2)} == set(ran)
    assert len(ran) == result.explored + 1


def test_what_a_place_raises_is_raised() -> None:
    def broken(_: Choose) -> Tried:
        raise ConnectionError("the database has gone")

    with pytest.raises(ConnectionError, match="has gone"):
        explored(Attempts(scripts=[PAYS] * 2), elsewhere=[broken])


def test_every_schedule_is_shown_as_it_comes() -> None:
    shown: list[Tried] = []
    result = explored(Attempts(scripts=[PAYS_LOCKED] * 2), seen=shown.append)
    assert len(shown) == result.explored


def test_operations_are_told_apart_in_traces() -> None:
    run = forced(World(scripts=[PAYS]), lambda *_: 0)
    assert [taken.step.sql for taken in run.taken] == ["read x", "write x", "commit"]
    assert Operation(kind="read") != Operation(kind="lock")
