"""What the judges of access say: to what they object, and to what they do not."""

from typing import Any

import pytest

from attacks.history import Event, Operation
from scenarios.invariants import (
    Observed,
    at_most_compared,
    nothing_leaks,
    strangers_learn_nothing,
)
from scenarios.truth import GroundTruth


def operation(number: int, name: str, status: int | None = 403, **values: Any) -> Operation:
    return Operation(
        id=number,
        actor="A",
        name=name,
        text=f"{name} {number}",
        round=1,
        started_s=number,
        ended_s=number + 0.5,
        outcome="failed",
        status=status,
        answer=str(status),
        values=values,
    )


def observed(*operations: Operation, events: tuple[Event, ...] = ()) -> Observed:
    return Observed(round=1, operations=operations, events=events, truth=GroundTruth())


def guesses(*problems: str | None) -> Observed:
    """None: acknowledged."""
    return observed(
        *(
            operation(n, "guess", 403 if p else 201, compared=p in ("pin-wrong", None))
            for n, p in enumerate(problems)
        )
    )


@pytest.mark.parametrize(
    ("problems", "compared"),
    [
        (["pin-wrong"] * 5 + ["pin-locked"] * 9, 0),
        (["pin-wrong"] * 6, 6),
        (["pin-wrong"] * 5 + [None], 6),
        (["pin-required", "pin-malformed", "pin-not-set"] * 5, 0),
        (["pin-wrong"] * 5 + ["rate-limited"], 0),
        ([], 0),
    ],
)
def test_guesses_are_counted_when_they_tell(problems: list[str | None], compared: int) -> None:
    findings = at_most_compared(5)(guesses(*problems))
    assert [len(finding.operations) for finding in findings] == ([compared] if compared else [])


def test_a_guess_without_an_answer_tells_nothing() -> None:
    silent = operation(9, "guess", None)
    seen = guesses(*["pin-wrong"] * 5)
    assert not at_most_compared(5)(observed(*seen.operations, silent))


@pytest.mark.parametrize(
    ("there", "nowhere", "found"),
    [
        ("403 forbidden", "403 forbidden", False),
        ("403 forbidden", "404 not-found", True),
        ("403 forbidden: hers", "403 forbidden: nobody's", True),
    ],
)
def test_a_difference_is_telling(there: str, nowhere: str, found: bool) -> None:
    pair = (operation(1, "peek", told=there), operation(2, "peek", told=nowhere))
    same = (operation(3, "peek", told="404"), operation(4, "peek", told="404"))
    findings = strangers_learn_nothing(observed(*same, *pair))
    assert [finding.operations for finding in findings] == ([(1, 2)] if found else [])


def test_what_is_told_is_found_in_answers_before_logs() -> None:
    log = Event(kind="log-leak", text="a secret", round=1, at_s=9)
    told = operation(1, "transfer", 500, leaks=["[SQL:"])
    quiet = operation(2, "transfer", 503, leaks=[])
    (answer,) = nothing_leaks(observed(quiet, told, events=(log,)))
    assert answer.operations == (1,)
    (in_log,) = nothing_leaks(observed(quiet, events=(log,)))
    assert "log" in in_log.summary
    assert not nothing_leaks(observed(quiet, operation(3, "transfer", 201)))
