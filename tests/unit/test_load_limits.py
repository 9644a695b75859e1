"""Thresholds while a load goes on: the first that is missed, by what was seen so far."""

from attacks.load.thresholds import parse
from scenarios.loading.figures import Figures
from scenarios.loading.limits import missed_so_far


def figures(took_ms: float, requests: int = 100) -> Figures:
    seen = Figures(0.0)
    for number in range(requests):
        due_s = number / 10
        times = {"started_s": due_s, "intended_s": due_s, "ended_s": due_s + took_ms / 1000}
        asked = {"name": "transfer", "outcome": "ok", "status": 201, "key": str(number)}
        seen.add({**asked, **times, "moves": [{}]})
    return seen


def test_the_first_that_is_missed_is_named_with_what_was_measured() -> None:
    thresholds = [parse("tps>=1"), parse("p95<50ms"), parse("p99<50ms")]
    missed = missed_so_far(thresholds, figures(80), 0)
    assert missed is not None
    assert (missed[0].text, missed[1]) == ("p95<50ms", "80.0 ms")
    assert missed_so_far(thresholds, figures(20), 0) is None


def test_a_violation_is_seen_before_the_audit_and_nothing_is_not_one() -> None:
    thresholds = [parse("violations==0")]
    assert missed_so_far(thresholds, figures(20), 0) is None
    missed = missed_so_far(thresholds, figures(20), 2)
    assert missed is not None
    assert missed[1] == "2"


def test_what_nobody_has_measured_yet_is_not_missed() -> None:
    assert missed_so_far([parse("deposit.p95<50ms")], figures(20), 0) is None
