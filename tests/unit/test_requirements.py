"""What it takes to believe a history without findings."""

import pytest

from attacks.history import Event, History, Operation
from scenarios.requirements import (
    acknowledged,
    never,
    overlapped,
    overlapped_rounds,
    overlaps,
    struck,
    struck_in_every_round,
)
from tests.unit.histories.small import move, operation


def _history(*operations: Operation) -> History:
    return History(operations=operations)


def _event(kind: str) -> Event:
    return Event(kind=kind, text=kind, round=1, at_s=0)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], False),
        ([(0, 1)], False),
        ([(0, 1), (1, 2)], False),
        ([(0, 1), (0.9, 2)], True),
        ([(0, 9), (1, 2), (3, 4)], True),
        ([(5, 6), (0, 5.5)], True),
    ],
)
def test_two_requests_overlap_when_one_begins_before_another_ends(
    spans: list[tuple[float, float]], expected: bool
) -> None:
    assert overlaps([operation(n, at=span) for n, span in enumerate(spans)]) is expected


def _round(number: int, *, racing: bool) -> tuple[Operation, Operation]:
    start = number * 10.0
    second = start + (0.1 if racing else 1)
    return (
        operation(number * 2, round=number, at=(start, start + 0.5)),
        operation(number * 2 + 1, round=number, at=(second, second + 0.5)),
    )


def test_half_of_the_rounds_must_overlap() -> None:
    half = _history(*_round(1, racing=True), *_round(2, racing=False))
    assert overlapped(half) is None
    assert overlapped_rounds(half) == 1
    less = _history(*half.operations, *_round(3, racing=False))
    assert overlapped(less) == "requests overlapped in only 1 of 3 rounds: no race took place"


def test_preparations_race_with_nobody_and_no_round_is_no_race() -> None:
    assert overlapped(_history()) is not None
    prepared = tuple(operation(n, at=(0, 1), actor="setup") for n in (1, 2))
    assert overlapped(_history(*prepared)) is not None
    control = tuple(operation(n, at=(0, 1), round=None) for n in (1, 2))
    assert overlapped(_history(*control)) is not None


def test_faults_that_never_struck_are_named() -> None:
    needed = struck("kill", "cut")
    seen = History(operations=(), events=(_event("kill"), _event("note")))
    assert needed(seen) == "these faults never struck: cut"
    assert needed(History(operations=(), events=(_event("cut"), *seen.events))) is None


def test_every_round_needs_an_acknowledged_movement() -> None:
    paid = move("1", "2", 1_00)
    served, refused = operation(1, paid), operation(2, paid, outcome="failed", status=409)
    elsewhere = operation(3, paid, round=2, outcome="unknown")
    assert acknowledged(_history(served, refused)) is None
    assert acknowledged(_history(served, elsewhere)) == (
        "nothing was acknowledged in 1 of 2 rounds"
    )
    assert acknowledged(_history(refused)) is not None
    assert acknowledged(_history(operation(1, paid, actor="setup"))) is not None
    assert acknowledged(_history()) is not None


def test_a_round_that_missed_its_moment_is_counted() -> None:
    missed = History(operations=(), events=(_event("not-waiting"),))
    assert never("not-waiting")(missed) == "1 rounds missed their moment: not-waiting"
    assert never("not-waiting")(_history()) is None


def test_a_fault_may_have_to_strike_in_every_round() -> None:
    needed = struck_in_every_round("kill")
    both = (operation(1), operation(2, round=2))
    assert needed(History(operations=both, events=(_event("kill"),))) == (
        "kill did not strike in 1 of 2 rounds"
    )
    assert needed(History(operations=both[:1], events=(_event("kill"),))) is None
    assert needed(_history()) is not None
