"""Learned locks, and the isolation level that a session starts with."""

import pytest

from attacks.postgres.isolation import isolation_of_start
from attacks.postgres.learned_locks import LearnedLocks

A = frozenset({("a", "RowExclusiveLock")})
B = frozenset({("b", "RowExclusiveLock")})


def test_it_wants_so_many_measurements_of_each_text() -> None:
    learned = LearnedLocks(measured_times=2)
    assert learned.known("x") == frozenset()
    for _ in range(2):
        assert learned.needs_measuring("x")
        learned.learn("x", A)
    assert not learned.needs_measuring("x")
    assert learned.needs_measuring("y")


def test_it_knows_everything_that_was_ever_gained() -> None:
    learned = LearnedLocks()
    learned.learn("x", A)
    learned.learn("x", B)
    learned.learn("x", frozenset())
    assert learned.known("x") == A | B
    assert learned.known("y") == frozenset()


def test_a_transaction_may_hold_less_but_not_more() -> None:
    learned = LearnedLocks()
    assert learned.verify(A | B, A | B)
    assert learned.verify(A | B, A)
    assert not learned.verify(A, A | B)


def test_it_starts_again_without_forgetting() -> None:
    learned = LearnedLocks(measured_times=1)
    learned.learn("x", A)
    learned.learn("y", B)
    learned.restart(frozenset({"x"}))
    assert learned.needs_measuring("x")
    assert not learned.needs_measuring("y")
    assert learned.known("x") == A


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "read committed"),
        ({"default_transaction_isolation": "serializable"}, "serializable"),
        ({"options": "-c default_transaction_isolation=serializable"}, "serializable"),
        ({"options": "-c default_transaction_isolation=repeatable\\ read"}, "repeatable read"),
        ({"options": "-c search_path=a -cdefault-transaction-isolation=serializable"},
         "serializable"),
        ({"options": "--default_transaction_isolation=serializable"}, "serializable"),
        ({"options": "-c statement_timeout=5s"}, "read committed"),
    ],
)  # fmt: skip
def test_the_level_that_a_session_starts_with(settings: dict[str, str], expected: str) -> None:
    assert isolation_of_start(settings, "read committed") == expected
