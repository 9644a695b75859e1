"""What may be said of paired slots, and what not."""

import random
import statistics

import pytest

from scenarios.pricing.statistics import (
    differences,
    interval_rank,
    ratios,
    spread,
)
from scenarios.pricing.turns import in_turns


@pytest.mark.parametrize(
    # Of the table of the sign test: the ranks that bound a median with 99 % and more.
    ("pairs", "rank"),
    [(1, 1), (7, 1), (8, 1), (10, 1), (11, 1), (12, 2), (14, 2), (15, 3), (20, 4), (25, 6)],
)
def test_the_interval_is_that_of_the_sign_test(pairs: int, rank: int) -> None:
    assert interval_rank(pairs) == rank


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    dice = random.Random(7)
    trials = 2000
    held = 0
    for _ in range(trials):
        found = spread([dice.lognormvariate(0.0, 0.5) for _ in range(12)])
        held += found.low <= 1.0 <= found.high
    assert held / trials >= 0.98
    assert found.sure == pytest.approx(0.9937, abs=0.0001)


def test_pairs_tell_what_averages_could_not() -> None:
    # The machine becomes three times as slow; the defence costs a tenth all the time.
    off = [300.0, 260, 240, 200, 180, 160, 120, 100]
    on = [rate * 0.9 for rate in off]
    found = ratios(on, off)
    assert found is not None
    assert found.differs_from(1)
    assert found.middle == pytest.approx(0.9)
    assert statistics.pstdev(off) > 0.1 * statistics.fmean(off), "the noise is larger than that"


def test_noise_is_no_price() -> None:
    found = ratios([100.0, 110, 90, 105, 95, 101, 99, 102], [100.0] * 8)
    assert found is not None
    assert not found.differs_from(1)


def test_fewer_than_eight_pairs_never_tell_anything() -> None:
    few, enough = ratios([50.0] * 7, [100.0] * 7), ratios([50.0] * 8, [100.0] * 8)
    assert few is not None
    assert enough is not None
    assert not few.differs_from(1)
    assert enough.differs_from(1)


def test_what_is_zero_or_lacks_its_pair_has_no_ratio() -> None:
    assert ratios([0.0, 1.0], [1.0, 1.0]) is None
    assert ratios([1.0], [1.0, 1.0]) is None
    assert ratios([], []) is None
    assert differences([1.0], []) is None
    with pytest.raises(ValueError, match="nothing"):
        spread([])


def test_turns_go_forwards_and_backwards() -> None:
    assert in_turns(2, 3) == [0, 1, 1, 0, 0, 1]
