"""When requests are due: by a clock of the test, and for every split among processes."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.load.pace import Constant, Pace, Profile, Ramp, Spike, due_after, profile_of

RATES = st.floats(min_value=0.5, max_value=5000)
PERIODS = st.floats(min_value=1, max_value=600)
PROFILES: st.SearchStrategy[Profile] = st.one_of(
    st.builds(Constant, tps=RATES),
    st.builds(Ramp, tps=RATES, period_s=PERIODS),
    st.builds(Spike, tps=RATES, period_s=PERIODS, peak=st.floats(min_value=1, max_value=20)),
)


class Clock:
    def __init__(self, at_s: float = 0.0) -> None:
        self.at_s = at_s

    def __call__(self) -> float:
        return self.at_s


def claimed(pace: Pace, how_many: int) -> list[float]:
    times = [pace.claim_s() for _ in range(how_many)]
    return [at_s for at_s in times if at_s is not None]


def due_until(profile: Profile, until_s: float) -> float:
    """How many requests are due by then: the rate, added up over small steps."""
    steps = 20_000
    step_s = until_s / steps
    return sum(rate(profile, (n + 0.5) * step_s) * step_s for n in range(steps))


def rate(profile: Profile, at_s: float) -> float:
    return profile.piece(at_s).rate


def test_a_constant_rate_is_due_evenly_from_the_start() -> None:
    clock = Clock(100.0)
    pace = Pace(Constant(tps=200), clock)
    pace.begin()
    assert claimed(pace, 4) == pytest.approx([100.0, 100.005, 100.010, 100.015])


def test_what_is_due_does_not_wait_for_a_stalled_service() -> None:
    clock = Clock()
    pace = Pace(Constant(tps=10), clock)
    pace.begin()
    first = claimed(pace, 3)
    clock.at_s = 60.0
    assert claimed(pace, 2) == pytest.approx([first[-1] + 0.1, first[-1] + 0.2])


def test_what_was_due_and_nobody_claimed_is_known_at_the_end() -> None:
    pace = Pace(Constant(tps=10), Clock(100.0))
    pace.begin(position=1, of=2)
    assert claimed(pace, 2) == pytest.approx([100.1, 100.3])
    assert list(pace.claim_rest_s(100.95)) == pytest.approx([100.5, 100.7, 100.9])
    without = Pace(None, Clock())
    assert list(without.claim_rest_s(100.0)) == []


def test_without_a_rate_nothing_is_ever_due() -> None:
    pace = Pace(profile_of("spike", tps=0, period_s=60, peak=3), Clock())
    pace.begin()
    assert pace.claim_s() is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", Constant(tps=5)),
        ("ramp", Ramp(tps=5, period_s=60)),
        ("spike", Spike(tps=5, period_s=60, peak=3)),
    ],
)
def test_profiles_have_names(name: str, expected: Profile) -> None:
    assert profile_of(name, tps=5, period_s=60, peak=3) == expected  # type: ignore[arg-type]


def test_a_ramp_rises_from_a_tenth_and_stays() -> None:
    ramp = Ramp(tps=100, period_s=50)
    assert [rate(ramp, at) for at in (0, 25, 50, 500)] == pytest.approx([10, 55, 100, 100])


def test_a_spike_is_the_last_sixth_of_each_period() -> None:
    spike = Spike(tps=10, period_s=60, peak=3)
    assert [rate(spike, at) for at in (0, 49, 51, 59, 61, 111)] == [10, 10, 30, 30, 10, 30]


@pytest.mark.parametrize(
    "profile",
    [Constant(tps=7), Ramp(tps=100, period_s=20), Spike(tps=20, period_s=12, peak=5)],
    ids=["constant", "ramp", "spike"],
)
def test_so_many_are_due_as_the_rate_adds_up_to(profile: Profile) -> None:
    pace = Pace(profile, Clock())
    pace.begin()
    times = claimed(pace, 2200)
    within = [at_s for at_s in times if at_s < 30]
    assert len(within) < 2200
    assert len(within) == pytest.approx(due_until(profile, 30.0), abs=2)


@given(profile=PROFILES, processes=st.integers(1, 7), each=st.integers(1, 60))
def test_processes_together_make_the_schedule_of_one(
    profile: Profile, processes: int, each: int
) -> None:
    alone = Pace(profile, Clock())
    alone.begin()
    together = []
    for position in range(processes):
        part = Pace(profile, Clock())
        part.begin(position=position, of=processes)
        together += claimed(part, each)
    assert sorted(together) == pytest.approx(claimed(alone, processes * each), rel=1e-6, abs=1e-6)


@given(profile=PROFILES, at_s=st.floats(0, 2000), requests=st.floats(0, 500))
def test_time_goes_on(profile: Profile, at_s: float, requests: float) -> None:
    due_s = due_after(profile, at_s, requests)
    assert math.isfinite(due_s)
    assert due_s >= at_s
    halfway_s = due_after(profile, at_s, requests / 2)
    assert due_after(profile, halfway_s, requests / 2) == pytest.approx(due_s, rel=1e-6, abs=1e-6)


@given(tps=RATES, changes=st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_when_workers_come_and_go_the_next_claim_follows(tps: float, changes: list[int]) -> None:
    pace = Pace(Constant(tps=tps), Clock())
    pace.begin(of=3)
    claimed(pace, 1)
    times = claimed(pace, 1)
    for of in changes:
        pace.share(of)
        times += claimed(pace, 2)[1:]
    # After a change one claim is still a step of the old size, the second is of the new.
    steps = [later - earlier for earlier, later in pairwise(times)]
    expected = [(before + after) / tps for before, after in pairwise([3, *changes])]
    assert steps == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_whoever_joins_late_does_not_catch_up_on_what_others_did() -> None:
    clock = Clock(1000.0)
    pace = Pace(Ramp(tps=100, period_s=50), clock)
    pace.begin(position=1, of=2, elapsed_s=50.0)
    assert claimed(pace, 3) == pytest.approx([1000.01, 1000.03, 1000.05])
