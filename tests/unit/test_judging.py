"""From a history to a verdict: violated before unknown before held, and never held for nothing."""

import pytest

from attacks.history import Event, History
from reports.evidence import Verdict
from scenarios.invariants import Finding, Invariant, Observed, money_is_conserved
from scenarios.judging import NO_RACE_NEEDED, judge, not_applicable
from scenarios.lab import Lab
from scenarios.model import Requirement, Scenario
from scenarios.needs import nothing
from scenarios.requirements import struck
from tests.unit.histories.small import controlled, effect, move, operation, truth, with_control

PAID_IN = operation(1, move(None, "a", 100), name="deposit", actor="setup")
PAID = operation(2, move("a", "b", 60))
TRUTH = with_control({"a": 40, "b": 60})


def _attack(lab: Lab) -> None:
    raise AssertionError("judging attacks nothing")


def _accuses(observed: Observed) -> tuple[Finding, ...]:
    finding = Finding(
        invariant="always wrong",
        summary="It is wrong.",
        expected="right",
        observed="wrong",
        round=observed.round,
    )
    return (finding,)


def _crashes(observed: Observed) -> tuple[Finding, ...]:
    raise ZeroDivisionError("no judge")


def _scenario(*invariants: Invariant, requires: tuple[Requirement, ...] = ()) -> Scenario:
    return Scenario(
        name="made-up",
        suite="money",
        claim="A claim.",
        story="",
        attack=_attack,
        invariants=invariants,
        holds_when=nothing(),
        requires=requires,
    )


def test_a_history_without_a_contradiction_is_held_with_its_weight() -> None:
    judged = judge(_scenario(money_is_conserved), controlled(PAID_IN, PAID), TRUTH)
    assert judged.verdict is Verdict.HELD
    assert judged.reasons == ()
    assert (judged.rounds, judged.violated_rounds, judged.requests) == (1, 0, 2)
    assert judged.cause == "No contradiction in 1 round with 2 requests."


def test_a_contradiction_wins_over_every_doubt() -> None:
    scenario = _scenario(_crashes, _accuses, requires=(struck("kill"),))
    judged = judge(scenario, controlled(PAID_IN, PAID), TRUTH, failure="the attack broke off")
    assert judged.verdict is Verdict.VIOLATED
    assert judged.cause == "It is wrong."
    assert "the attack broke off" in judged.reasons
    assert "these faults never struck: kill" in judged.reasons
    assert any("crashed in round 1: ZeroDivisionError('no judge')" in r for r in judged.reasons)


def test_the_most_telling_invariant_speaks_first() -> None:
    second = operation(3, move(None, "d", 1), round=2)
    history = controlled(PAID_IN, PAID, second)
    right = with_control({"a": 40, "b": 60, "d": 1})
    judged = judge(_scenario(money_is_conserved, _accuses), history, right)
    assert [finding.round for finding in judged.findings] == [1, 2]
    lost = with_control({"a": 40, "b": 0, "d": 1})
    judged = judge(_scenario(_accuses, money_is_conserved), history, lost)
    assert [f.invariant for f in judged.findings][:3] == [
        "always wrong",
        "always wrong",
        "money is conserved",
    ]
    assert judged.violated_rounds == 2


def _crashing_requirement(history: History) -> str | None:
    raise LookupError("no such event")


@pytest.mark.parametrize(
    ("scenario", "failure", "reason"),
    [
        (_scenario(_crashes), None, "the judge _crashes crashed in round 1"),
        (_scenario(requires=(struck("cut"),)), None, "these faults never struck: cut"),
        (
            _scenario(requires=(_crashing_requirement,)),
            None,
            "the requirement _crashing_requirement crashed",
        ),
        (_scenario(), "the service was still at work", "the service was still at work"),
    ],
)
def test_a_doubt_makes_it_unknown_with_its_reason(
    scenario: Scenario, failure: str | None, reason: str
) -> None:
    judged = judge(scenario, controlled(PAID_IN, PAID), TRUTH, failure=failure)
    assert judged.verdict is Verdict.UNKNOWN
    assert judged.reasons[0].startswith(reason)
    assert judged.cause.startswith(f"Nothing can be said: {reason}")


def test_without_ground_truth_nothing_is_known() -> None:
    judged = judge(_scenario(_accuses), controlled(PAID), None)
    assert judged.verdict is Verdict.UNKNOWN
    assert judged.reasons == ("ground truth could not be read",)
    assert judged.requests == 4
    judged = judge(_scenario(_accuses), controlled(PAID), None, failure="no engine")
    assert (judged.cause, judged.reasons) == ("no engine", ("no engine",))


def test_an_empty_history_is_never_held() -> None:
    empty = History(operations=())
    judged = judge(_scenario(money_is_conserved), empty, truth({}))
    assert judged.verdict is Verdict.UNKNOWN
    assert "no request of the attack was answered" in judged.reasons


def test_an_attack_that_nobody_answered_proves_nothing() -> None:
    """Opening balances are paid in before: a service that dies then has answered nothing."""
    silent = operation(2, move("a", "b", 60), outcome="unknown")
    judged = judge(_scenario(money_is_conserved), controlled(PAID_IN, silent), TRUTH)
    assert judged.verdict is Verdict.UNKNOWN
    assert judged.reasons == ("no request of the attack was answered",)


def test_a_service_whose_plain_money_path_is_broken_is_unknown() -> None:
    scenario = _scenario(money_is_conserved)
    whole = controlled(PAID_IN, PAID)
    once = History(operations=whole.operations[:-1])
    judged = judge(scenario, once, TRUTH)
    assert judged.reasons == (
        "the control payments before and after the attack were not both made",
    )
    refused = controlled(PAID_IN, PAID, outcome="failed")
    judged = judge(scenario, refused, TRUTH)
    assert judged.verdict is Verdict.UNKNOWN
    assert judged.reasons == ("a control operation failed: transfer 9003 was answered 409",)
    lost = truth({"a": 40, "b": 60, "c1": 400, "c2": 100})
    judged = judge(scenario, whole, lost)
    assert judged.verdict is Verdict.UNKNOWN
    assert judged.reasons == ("the control payments are acknowledged but not in the database",)


def test_a_contradiction_in_a_serial_order_needed_no_race() -> None:
    serial = judge(_scenario(_accuses), controlled(PAID_IN, PAID), TRUTH)
    assert serial.reasons == (NO_RACE_NEEDED,)
    twin = operation(3, move("a", "b", 1), at=(2.1, 2.2))
    racing = judge(_scenario(_accuses), controlled(PAID_IN, PAID, twin), TRUTH)
    assert racing.reasons == ()
    assert racing.overlapped_rounds == 1


def test_what_is_not_applicable_says_why() -> None:
    judged = not_applicable("PostgreSQL is not ours to restart")
    assert judged.verdict is Verdict.NOT_APPLICABLE
    assert judged.cause == judged.reasons[0] == "PostgreSQL is not ours to restart"


def test_each_round_is_judged_by_its_own_wallets_and_events() -> None:
    seen: list[Observed] = []

    def looks(observed: Observed) -> tuple[Finding, ...]:
        seen.append(observed)
        return ()

    second = operation(3, move("d", None, 1), round=2, name="withdrawal")
    reads = operation(4, name="read-balance", round=2, values={"balances": {"e": 5}})
    event = Event(kind="kill", text="killed", round=2, at_s=3)
    database = truth(
        {"a": 40, "b": 60, "c1": 300, "c2": 200, "d": 0, "e": 5},
        (effect("e1", "a", "b", 60), effect("e2", "d", None, 1)),
    )
    history = controlled(PAID_IN, PAID, second, reads, events=(event,))
    judged = judge(_scenario(looks), history, database)
    assert judged.verdict is Verdict.HELD
    assert [o.round for o in seen] == [1, 2]
    assert [o.wallets for o in seen] == [("a", "b"), ("d", "e")]
    assert [[e.id for e in o.truth.effects] for o in seen] == [["e1"], ["e2"]]
    assert [len(o.events) for o in seen] == [0, 1]
    assert judge(_scenario(looks), history, database) == judged
