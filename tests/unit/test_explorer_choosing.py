"""Choosers that need no search, and what two runs of one schedule must have in common."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.postgres.explorer.choosing import by_priorities, following, serial
from attacks.postgres.explorer.run import Choice, Choose, Pending, Run, Taken
from attacks.postgres.explorer.signature import Line, difference, masked, signature
from attacks.postgres.footprint import nothing
from attacks.postgres.trace import Reply, Step


def pending(*racers: int) -> list[Pending]:
    step = Step(session=1, number=1, kind="query", sql="SELECT 1")
    return [Pending(racer=racer, step=step) for racer in racers]


def chosen(choose: Choose, *enabled: Sequence[int]) -> list[int | None]:
    return [choose(at, pending(*racers), None) for at, racers in enumerate(enabled)]


def test_one_after_the_other_wherever_locks_allow_it() -> None:
    assert chosen(serial((2, 0, 1)), (0, 1, 2), (0, 1), (1, 2)) == [2, 0, 2]


def test_a_written_order_and_what_follows_it() -> None:
    assert chosen(following((1, 1)), (0, 1), (0,), (0, 1)) == [1, 0, 0]
    assert chosen(following((0,), then=1), (0, 1), (0, 1), (0, 2)) == [0, 1, 0]


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(0, 3), st.integers(0, 6))
def test_priorities_are_repeatable_and_change_so_often(
    seed: int, racers: int, changes: int, steps: int
) -> None:
    def once() -> list[int | None]:
        choose = by_priorities(random.Random(seed), racers, changes=changes, steps=steps)
        return chosen(choose, *[range(racers)] * 8)

    order = once()
    assert order == once()
    switched = sum(a != b for a, b in itertools.pairwise(order))
    assert switched <= changes


def test_priorities_take_whoever_can_go() -> None:
    choose = by_priorities(random.Random(1), 3, changes=8, steps=4)
    assert chosen(choose, (2,), (0,), (1,)) == [2, 0, 1]


def a_run(order: Sequence[int], enabled: Sequence[Sequence[int]]) -> Run:
    choices = tuple(
        Choice(racer=racer, enabled=tuple(able), footprint=nothing())
        for racer, able in zip(order, enabled, strict=True)
    )
    return Run(choices=choices, taken=(), results=())


@pytest.mark.parametrize(
    ("order", "enabled", "preemptions", "overlapped", "free"),
    [
        ((), (), 0, False, False),
        ((0, 0, 1), ((0, 1), (0, 1), (1,)), 0, False, True),
        ((0, 1, 0), ((0, 1), (0, 1), (0,)), 1, True, True),
        ((0, 1, 0), ((0,), (1,), (0,)), 0, True, False),
        ((0, 1, 0, 1), ((0, 1),) * 4, 3, True, True),
    ],
)
def test_what_a_run_was_like(
    order: Sequence[int],
    enabled: Sequence[Sequence[int]],
    preemptions: int,
    *,
    overlapped: bool,
    free: bool,
) -> None:
    run = a_run(order, enabled)
    assert (run.preemptions, run.overlapped, run.was_free) == (preemptions, overlapped, free)
    assert run.order == order


def taken(sql: str, *, choice: int | None = 0, racer: int = 0, **reply: object) -> Taken:
    return Taken(
        racer=racer,
        step=Step(session=1, number=1, kind="query", sql=sql, parameters=("1", None)),
        reply=replace(Reply(tag="SELECT 1", rows=(("5", None),)), **reply),  # type: ignore[arg-type]
        choice=choice,
        began=1,
        ended=2,
        footprint=nothing(),
    )


def test_a_signature_is_what_was_parked_and_answered() -> None:
    steps = (
        taken("SELECT v FROM a"),
        taken("BEGIN", choice=None),
        taken("COMMIT", choice=1, racer=1, tag=None, rows=(), sqlstate="40001"),
        taken("SYNC", choice=2, tag=None, rows=()),
    )
    assert signature(Run(choices=(), taken=steps, results=())) == (
        ("A", "SELECT v FROM a", ("1", None), "SELECT 1", (("5", None),)),
        ("B", "COMMIT", ("1", None), "40001", ()),
        ("A", "SYNC", ("1", None), "", ()),
    )


def test_the_order_of_rows_is_not_part_of_a_signature() -> None:
    """A restore moves rows about in their table, and without ORDER BY they come as they lie."""

    def seen(*rows: tuple[str | None, ...]) -> tuple[Line, ...]:
        return signature(Run(choices=(), taken=(taken("SELECT v FROM a", rows=rows),), results=()))

    assert seen(("5", "b"), (None, "a")) == seen((None, "a"), ("5", "b"))
    assert seen(("5", "b"), (None, "a")) != seen((None, "b"), ("5", "a"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key '0b7c2c52-9a4e-4f4b-8b5a-3a3f7a0d1c2e'", "key '<uuid>'"),
        ("at 2026-11-21 12:07:51.123+00 and 2026-11-21T12:07Z", "at <time> and <time>"),
        ("hash " + "0a" * 20, "hash <hex>"),
        ("UPDATE a SET v = 100.00 WHERE id = 42", "UPDATE a SET v = 100.00 WHERE id = 42"),
    ],
)
def test_what_differs_by_nature_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


LINE = ("A", "SELECT  v\nFROM a", ("1",), "SELECT 1", (("5",),))
LONG = "SELECT " + ", ".join(f"wallets.column_{number}" for number in range(20))


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (
            ("B", "COMMIT", (), "COMMIT", ()),
            "step 1 was A: SELECT v FROM a and is now B: COMMIT",
        ),
        (
            ("A", "UPDATE a", (), "UPDATE 1", ()),
            "step 1 (A): statement was SELECT v FROM a and is now UPDATE a",
        ),
        (
            ("A", LINE[1], ("2",), "SELECT 1", ()),
            "step 1 (A): parameters was ('1',) and is now ('2',)",
        ),
        ((*LINE[:3], "40001", ()), "step 1 (A): answer was SELECT 1 and is now 40001"),
        ((*LINE[:4], ()), "step 1 (A): rows was (('5',),) and is now ()"),
    ],
)
def test_where_two_traces_part_is_one_line(now: Line, says: str) -> None:
    assert difference([LINE], [LINE]) is None
    assert difference([LINE], [now]) == says
    assert difference([LINE], [LINE, now]) == "1 steps before and 2 now"


def test_what_is_other_in_a_long_statement_is_shown() -> None:
    before, now = ("A", LONG, (), "SELECT 1", ()), ("A", f"{LONG} FOR UPDATE", (), "SELECT 1", ())
    assert difference([before], [now]) == (
        "step 1 (A): statement was …8, wallets.column_19"
        " and is now …8, wallets.column_19 FOR UPDATE"
    )
    other = ("A", f"X{LONG}", (), "SELECT 1", ())
    shown = difference([before], [other])
    assert shown is not None
    assert shown.endswith(
        " and is now XSELECT wallets.column_0, wallets.column_1, wallets.column_2…"
    )
