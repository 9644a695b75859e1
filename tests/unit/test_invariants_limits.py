"""Judges of limits and of reads: what contradicts the claim at whatever moment it happened."""

from collections.abc import Sequence

import pytest

from attacks.history import Operation, Outcome
from scenarios.invariants import Finding, at_most, no_dirty_read, refused_only_above
from tests.unit.histories.small import effect, move, observed, operation

AT_MOST = at_most(2, 10, of="log-in")
ONLY_ABOVE = refused_only_above(2, 10, of="log-in")


def _log_in(number: int, at_s: float, outcome: Outcome = "ok", took_s: float = 0.1) -> Operation:
    return operation(number, name="log-in", outcome=outcome, at=(at_s, at_s + took_s))


def _judged(*operations: Operation) -> tuple[Finding, ...]:
    seen = observed(operations, {})
    return (*AT_MOST(seen), *ONLY_ABOVE(seen))


@pytest.mark.parametrize("times", [(0, 1), (0, 1, 10.2), (0, 9, 10.05, 19.05), (0, 5, 9.9)])
def test_what_may_have_been_in_two_windows_is_no_contradiction(times: Sequence[float]) -> None:
    assert _judged(*(_log_in(n, at_s) for n, at_s in enumerate(times))) == ()


def test_one_too_many_in_some_window_is_found() -> None:
    (finding,) = _judged(_log_in(1, 0), _log_in(2, 8), _log_in(3, 10.3), _log_in(4, 12))
    assert finding.operations == (2, 3, 4)
    assert finding.observed == "3 in 4.10 s"


def test_refused_and_unanswered_requests_were_not_let_through() -> None:
    others = (_log_in(3, 2, "failed"), _log_in(4, 3, "unknown"))
    assert _judged(_log_in(1, 0), _log_in(2, 1), *others) == ()


def test_other_requests_do_not_count() -> None:
    read = operation(3, name="read-balance", at=(2, 2.1), values={"balances": {}})
    assert _judged(_log_in(1, 0), _log_in(2, 1), read) == ()


def test_a_refusal_below_the_limit_is_found() -> None:
    assert _judged(_log_in(1, 0), _log_in(2, 1), _log_in(3, 10.05, "failed")) == ()
    (finding,) = _judged(_log_in(1, 0), _log_in(2, 1), _log_in(3, 10.3, "failed"))
    assert finding.operations == (3,)
    assert "only 1 of 2" in finding.summary


def test_who_got_no_answer_may_have_been_let_through() -> None:
    assert _judged(_log_in(1, 0), _log_in(2, 1, "unknown"), _log_in(3, 2, "failed")) == ()


def _reads(*amounts: int) -> tuple[Operation, ...]:
    return tuple(
        operation(n, name="read-balance", values={"balances": {"a": amount}})
        for n, amount in enumerate(amounts, start=10)
    )


PAID = (effect("1", None, "a", 100), effect("2", "a", "b", 30))


def test_committed_balances_may_be_read_in_any_order() -> None:
    paid = (operation(1, move(None, "a", 100)), operation(2, move("a", "b", 30)))
    seen = observed((*paid, *_reads(0, 70, 100)), {"a": 70, "b": 30}, PAID)
    assert no_dirty_read(seen) == ()


def test_a_balance_that_nobody_committed_is_dirty() -> None:
    paid = (operation(1, move(None, "a", 100)), operation(2, move("a", "b", 30)))
    (finding,) = no_dirty_read(observed((*paid, *_reads(100, 40)), {"a": 70}, PAID))
    assert finding.operations == (11,)
    assert finding.summary.endswith("its balances were 0.00, 0.70, 1.00.")
