"""What is wrong with a file, told whole and in bounded words."""

import re

from hypothesis import given
from hypothesis import strategies as st

from engine.batches.complaints import TOLD_ONE_BY_ONE, Complaints


def complaints(lines: dict[int, str]) -> Complaints:
    found = Complaints()
    for line in sorted(lines):
        found.add(line, lines[line])
    return found


def lines_in(field: str) -> list[int]:
    ranges = [(part + "-" + part).split("-")[:2] for part in re.findall(r"[0-9-]+", field)]
    return [line for first, last in ranges for line in range(int(first), int(last) + 1)]


def test_few_are_told_one_by_one_in_their_order() -> None:
    assert complaints({7: "b", 2: "a", 3: "b"}).told() == [
        {"field": "line 2", "message": "a"},
        {"field": "line 3", "message": "b"},
        {"field": "line 7", "message": "b"},
    ]


def test_the_rest_is_told_as_ranges() -> None:
    told = complaints(dict.fromkeys([*range(2, 5002), 6000], "wrong")).told()
    assert told[TOLD_ONE_BY_ONE:] == [{"field": "lines 102-5001, 6000", "message": "wrong"}]


def test_a_hundred_thousand_lines_are_told_in_bounded_words() -> None:
    alternating = complaints({line: f"reason {line % 2}" for line in range(2, 100_002)})
    told = alternating.told()
    assert len(told) == TOLD_ONE_BY_ONE + 2
    assert sum(len(one["field"]) + len(one["message"]) for one in told) < 1_000_000


@given(st.dictionaries(st.integers(2, 2000), st.sampled_from("abc"), min_size=90, max_size=400))
def test_no_line_is_missing_or_told_twice(lines: dict[int, str]) -> None:
    found = complaints(lines)
    told = [(line, one["message"]) for one in found.told() for line in lines_in(one["field"])]
    assert sorted(told) == sorted(lines.items())
    assert found.count == len(lines)
