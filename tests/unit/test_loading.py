"""What `assay load` concludes, from small histories; and what the locustfile reads."""

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest

from attacks.history import PREPARATION, History, Move, Operation
from reports.evidence import Verdict
from scenarios.audit import CLAIMS, Audit, Check, audit
from scenarios.invariants import Finding, Observed
from scenarios.loading.generator import LOCUSTFILE
from scenarios.percentiles import percentile
from scenarios.truth import Balance, Effect, GroundTruth, Leg


def paid(  # noqa: PLR0917 - reads as a sentence: who, whom, how much
    number: int, payer: str | None, payee: str, minor: int, outcome: str = "ok", key: str = ""
) -> Operation:
    return Operation(
        id=number,
        actor="user 1" if payer else PREPARATION,
        name="transfer" if payer else "deposit",
        text=f"transfer {minor}",
        round=None,
        moves=(Move(payer=payer, payee=payee, amount_minor=minor),),
        key=key or f"key-{number}",
        started_s=number,
        ended_s=number + 0.1,
        outcome=outcome,  # type: ignore[arg-type]  # one of three words, spelt in this file
        status={"ok": 201, "failed": 402}.get(outcome),
        answer=outcome,
    )


OPENED = (paid(1, None, "1", 100), paid(2, None, "2", 100))
PAYMENT = paid(3, "1", "2", 30)
HISTORY = History(operations=(*OPENED, PAYMENT))


def truth(*, first: int = 70, second: int = 130, payments: int = 1) -> GroundTruth:
    amounts = {"1": first, "2": second}
    effects: list[tuple[str, str | None, str, int]]
    effects = [("d1", None, "1", 100), ("d2", None, "2", 100)]
    effects += [(f"p{number}", "1", "2", 30) for number in range(payments)]
    return GroundTruth(
        balances={
            wallet: Balance(wallet=wallet, asset="USD", amount_minor=Decimal(amount))
            for wallet, amount in amounts.items()
        },
        effects=tuple(
            Effect(id=name, payer=payer, payee=payee, amount_minor=Decimal(amount))
            for name, payer, payee, amount in effects
        ),
    )


def legs(*entries: tuple[str, str, int, int, int]) -> tuple[Leg, ...]:
    return tuple(
        Leg(
            effect=effect,
            wallet=wallet,
            amount_minor=Decimal(amount),
            balance_after_minor=Decimal(after),
            position=position,
        )
        for effect, wallet, amount, after, position in entries
    )


LEGS = legs(
    ("d1", "1", 100, 100, 1), ("p0", "1", -30, 70, 2), ("d2", "2", 100, 100, 1),
    ("p0", "2", 30, 130, 2),
)  # fmt: skip


def verdict_of(judged: Audit, claim: str) -> Verdict:
    return next(check.verdict for check in judged.checks if claim in check.claim)


def test_a_whole_history_that_the_database_confirms_is_held() -> None:
    judged = audit(HISTORY, replace(truth(), legs=LEGS))
    assert {check.verdict for check in judged.checks} == {Verdict.HELD}
    assert (judged.verdict, judged.exit_code, judged.payments) == (Verdict.HELD, 0, 1)


def test_a_build_without_legs_is_not_blamed_for_having_none() -> None:
    judged = audit(HISTORY, truth())
    assert verdict_of(judged, "ledger legs") is Verdict.NOT_APPLICABLE
    assert judged.exit_code == 0


def test_a_build_without_records_is_not_praised_for_matching_them() -> None:
    judged = audit(HISTORY, replace(truth(), effects=(), records_kept=False))
    assert verdict_of(judged, "recorded once") is Verdict.NOT_APPLICABLE


def test_a_lost_update_is_money_from_nowhere() -> None:
    judged = audit(HISTORY, truth(first=100))
    assert verdict_of(judged, "conserved") is Verdict.VIOLATED
    assert "0.30 came from nowhere" in judged.checks[0].detail
    assert judged.exit_code == 1


def test_a_payment_that_is_recorded_twice_is_violated() -> None:
    judged = audit(HISTORY, truth(first=40, second=160, payments=2))
    assert verdict_of(judged, "recorded once") is Verdict.VIOLATED
    assert verdict_of(judged, "conserved") is Verdict.HELD


def test_a_payment_that_is_not_recorded_is_violated() -> None:
    judged = audit(HISTORY, truth(payments=0))
    assert verdict_of(judged, "recorded once") is Verdict.VIOLATED


def test_legs_that_do_not_chain_are_violated() -> None:
    torn = (*LEGS[:3], replace(LEGS[3], balance_after_minor=Decimal(131)))
    judged = audit(HISTORY, replace(truth(), legs=torn))
    assert verdict_of(judged, "ledger legs") is Verdict.VIOLATED


def test_a_request_without_an_answer_may_have_happened_or_not() -> None:
    history = History(operations=(*OPENED, PAYMENT, paid(4, "2", "1", 5, "unknown")))
    assert audit(history, truth()).exit_code == 0


def test_nothing_acknowledged_proves_nothing() -> None:
    judged = audit(
        History(operations=(*OPENED, paid(3, "1", "2", 30, "failed"))),
        truth(first=100, second=100, payments=0),
    )
    assert judged.doubts == ("no payment was acknowledged",)
    assert judged.exit_code == 3


def test_a_retry_is_no_second_payment() -> None:
    history = History(operations=(*HISTORY.operations, paid(4, "1", "2", 30, key="key-3")))
    judged = audit(history, truth())
    assert (judged.payments, judged.exit_code) == (1, 0)


def cashed(name: str, payer: str | None, payee: str | None) -> History:
    move = Move(payer=payer, payee=payee, amount_minor=30)
    return History(operations=(*OPENED, replace(PAYMENT, name=name, moves=(move,))))


@pytest.mark.parametrize(
    ("history", "first"),
    [(cashed("withdrawal", "1", None), 70), (cashed("deposit", None, "1"), 130)],
)
def test_money_that_comes_in_or_goes_out_under_load_is_a_payment(
    history: History, first: int
) -> None:
    (move,) = history.operations[-1].moves
    recorded = Effect(id="p", payer=move.payer, payee=move.payee, amount_minor=Decimal(30))
    found = truth(first=first, second=100, payments=0)
    judged = audit(history, replace(found, effects=(*found.effects, recorded)))
    assert (judged.payments, judged.exit_code) == (1, 0)


def test_without_ground_truth_nothing_can_be_said() -> None:
    assert audit(HISTORY, None, doubts=["the database is away"]).exit_code == 3


def test_a_doubt_is_unknown_and_a_violation_is_worse() -> None:
    assert audit(HISTORY, truth(), doubts=["the engine ended"]).exit_code == 3
    assert audit(HISTORY, truth(first=100), doubts=["the engine ended"]).exit_code == 1


def test_an_incomplete_history_accuses_nobody() -> None:
    judged = audit(HISTORY, truth(first=40, second=160, payments=2), whole=False, doubts=["torn"])
    assert verdict_of(judged, "recorded once") is Verdict.UNKNOWN
    assert judged.exit_code == 3


def test_an_incomplete_history_does_not_hide_what_the_database_shows_by_itself() -> None:
    judged = audit(HISTORY, truth(first=-5, second=205), whole=False, doubts=["torn"])
    assert verdict_of(judged, "overdrawn") is Verdict.VIOLATED
    assert judged.exit_code == 1


@pytest.mark.parametrize(("says", "code"), [("held", 0), ("unknown", 3), ("violated", 1)])
def test_what_the_engine_says_of_itself_counts(says: str, code: int) -> None:
    check = Check(claim="reconciliation", verdict=Verdict(says))
    assert audit(HISTORY, truth(), engine_says=check).exit_code == code


def test_a_judge_that_crashes_has_said_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: Observed) -> tuple[Finding, ...]:
        raise ZeroDivisionError

    broken = tuple(replace(claim, invariant=crash) for claim in CLAIMS)
    monkeypatch.setattr("scenarios.audit.CLAIMS", broken)
    judged = audit(HISTORY, truth())
    assert "the judge crashed: ZeroDivisionError" in judged.checks[0].detail
    assert judged.exit_code == 3


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)])
def test_percentiles_are_values_that_were_seen(share: float, value: int) -> None:
    assert percentile(range(1, 101), share) == value
    assert percentile([7.0], share) == 7.0


def in_a_process_of_its_own(code: str, *arguments: str) -> str:
    """Importing Locust would patch the sockets and threads of the tests."""
    command = [sys.executable, "-c", code, *arguments]
    folder = LOCUSTFILE.parent
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_s_process_never_imports_locust() -> None:
    code = "import sys, scenarios.cli; print({'locust', 'gevent'} & set(sys.modules))"
    assert in_a_process_of_its_own(code).strip() == "set()"


def test_a_master_listens_at_home_unless_it_is_told_otherwise() -> None:
    code = (
        "import sys, locustfile; from locust.argument_parser import parse_options; "
        "print(parse_options(sys.argv[1:]).master_bind_host)"
    )
    assert in_a_process_of_its_own(code, "--master").splitlines()[-1] == "127.0.0.1"
    away = ("--master", "--master-bind-host", "192.0.2.7")
    assert in_a_process_of_its_own(code, *away).splitlines()[-1] == "192.0.2.7"
