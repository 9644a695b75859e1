"""A run whose cells were searched: every schedule sample, and faults at chosen statements."""

from collections.abc import Sequence
from typing import Any

from reports.evidence import (
    Cell,
    Claim,
    Evidence,
    Exploration,
    FaultCase,
    Finding,
    Prediction,
    Strength,
    Verdict,
)
from tests.unit import schedule_samples as schedules
from tests.unit.evidence_samples import cell_of, clean_sample

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
REQUEST = "transfer 100.00 wallet 1 -> shop"
STATEMENTS = (
    "INSERT INTO idempotency_keys (scope, key) VALUES ('wallet 1', '6b1f')",
    f"{schedules.READ} FOR UPDATE",
    "UPDATE wallets SET balance=0.00 WHERE wallets.id = 1",
    "INSERT INTO transactions (id, payer, payee, amount) VALUES (7, 1, 2, 100.00)",
    "COMMIT",
)
FAULTS = (
    "connection reset before the statement",
    "connection reset after it, before its reply",
    "acknowledgement lost",
    "service killed",
    "serialization failure (40001)",
    "statement cancelled (57014)",
)


def exploration(**changes: Any) -> Exploration:
    fields = {
        "race": "two payments of the whole balance",
        "explored": 92,
        "pruned": 41,
        "uncontrolled": 0,
        "violated": 0,
        "exhausted": True,
        "duration_s": 4.31,
    }
    return Exploration.model_validate(fields | changes)


def lost_update() -> Exploration:
    return exploration(
        violated=89,
        first_violation=3,
        predictions=(
            Prediction(
                anomaly="lost update",
                because="it reads wallets.balance without a lock and writes it afterwards",
                outcome="proven",
            ),
            Prediction(
                anomaly="deadlock",
                because="it writes one row only",
                outcome="refuted",
            ),
        ),
        losing=schedules.double_spend(),
        serial=schedules.serial_payments(),
        schedule_file="schedules/double-spend.fragile.json",
        reproduced="100 of 100",
    )


def exhausted() -> Exploration:
    return exploration(explored=8, pruned=12, duration_s=0.26, serial=schedules.lock_wait())


def bounded(**changes: Any) -> Exploration:
    fields = {
        "explored": 361,
        "pruned": 118,
        "uncontrolled": 4,
        "exhausted": False,
        "preemption_bound": 2,
        "random_schedules": 200,
        "reasons": (
            "the budget of 60 s ended before every order was tried",
            "4 schedules waited for something that the proxy cannot see (pool-serialised)",
        ),
        "duration_s": 60.02,
    }
    return exploration(**(fields | changes))


def fault_cases(*, violated: bool) -> tuple[FaultCase, ...]:
    """Six faults at each of five statements; an acknowledgement is lost at the commit only."""
    cases = []
    for step, sql in enumerate(STATEMENTS, start=1):
        for fault in FAULTS:
            if fault == "acknowledgement lost" and sql != "COMMIT":
                continue
            committed = sql == "COMMIT" and fault in FAULTS[1:3]
            client = "503" if "(" in fault else "no answer"
            cases.append(
                FaultCase(
                    round=None,
                    request=REQUEST,
                    step=step,
                    sql=sql,
                    fault=fault,
                    client=client,
                    database="committed" if committed else "aborted",
                    retry="201, paid twice" if violated and committed else "201",
                    violated=violated and committed,
                )
            )
    return tuple(cases)


def cell(
    scenario: str,
    build: str,
    verdict: Verdict,
    cause: str,
    *,
    explorations: Sequence[Exploration] = (),
    faults: Sequence[FaultCase] = (),
    **changes: Any,
) -> Cell:
    explored = sum(e.explored for e in explorations) + len(faults)
    hits = sum(e.violated for e in explorations) + sum(case.violated for case in faults)
    found = Finding(
        invariant="money_is_conserved",
        summary="Money in the system: 100.00 before, 200.00 after.",
        expected="sum of all balances 10000",
        observed="sum of all balances 20000",
    )
    usual = cell_of(clean_sample(), "double-spend", build)
    whole = not faults and all(e.exhausted for e in explorations)
    fields = {
        "scenario": scenario,
        "build": build,
        "verdict": verdict,
        "predicted": verdict,
        "cause": cause,
        "findings": (found,) if verdict is VIOLATED else (),
        "strength": Strength(
            kind="exhausted" if whole else "bounded",
            rounds=explored,
            violated_rounds=hits,
            overlapped_rounds=explored,
            requests=2 * explored,
        ),
        "explorations": tuple(explorations),
        "fault_cases": tuple(faults),
        "reproduce": f"assay verify --build {build} --only {scenario} --seed 20261121",
    }
    return usual.model_copy(update=fields | changes)


def explored_sample() -> Evidence:
    """One claim for each sample, in both builds where there are two."""
    cells = (*_races(), *_odd_ones(), *_faults())
    usual = clean_sample()
    claims = tuple(
        _claim(usual.claims[0], name) for name in dict.fromkeys(c.scenario for c in cells)
    )
    return usual.model_copy(update={"claims": claims, "cells": cells, "suites": ()})


def _claim(usual: Claim, name: str) -> Claim:
    suite = "faults" if name == "lost-answer" else "double spend"
    return usual.model_copy(update={"name": name, "suite": suite})


def _races() -> tuple[Cell, ...]:
    return (
        cell("double-spend", "fragile", VIOLATED,
             "Wallet 1 held 100.00 and A was paid 100.00, so nothing was left for B; "
             "B was also paid 100.00.", explorations=(lost_update(),)),
        cell("double-spend", "hardened", HELD, "In every order one payment was refused.",
             explorations=(exhausted(),)),
        cell("deadlock", "fragile", VIOLATED, "B was answered 500: PostgreSQL ended its deadlock.",
             explorations=(
                 exploration(race="two opposite transfers", explored=14, violated=2, pruned=3,
                             first_violation=2, losing=schedules.deadlock()),)),
        cell("deadlock", "hardened", HELD, "No order of the statements ended in a deadlock.",
             explorations=(bounded(race="two opposite transfers"),)),
        cell("read-skew", "fragile", VIOLATED, "A saw a total of 200.00 that never existed.",
             explorations=(
                 exploration(race="a bulk read and a transfer", explored=20, violated=6,
                             first_violation=7, losing=schedules.read_skew()),)),
        cell("read-skew", "hardened", HELD, "Whoever came second was told to try again.",
             explorations=(
                 exploration(explored=11, pruned=6, serial=schedules.not_serializable()),)),
    )  # fmt: skip


def _odd_ones() -> tuple[Cell, ...]:
    unsure = bounded(race="three users redeem one voucher", preemption_bound=None,
                     random_schedules=0, explored=37)  # fmt: skip
    return (
        cell("voucher", "fragile", VIOLATED, "One voucher was credited twice.",
             explorations=(
                 bounded(race="three users redeem one voucher", violated=12, first_violation=41,
                         losing=schedules.three_sessions()),)),
        cell("voucher", "hardened", UNKNOWN, "Most requests never raced.", explorations=(unsure,),
             reasons=("29 of 37 schedules were serialised by the application",)),
        cell("payout", "fragile", VIOLATED, "The same 50.00 was paid out twice.",
             explorations=(
                 exploration(race="two payouts", explored=6, violated=4, first_violation=2,
                             losing=schedules.somebody_elses(),
                             schedule_file="schedules/pay out.json"),)),
        cell("fees", "fragile", VIOLATED, "The fee was booked twice.",
             explorations=(
                 exploration(race="two purchases with a fee", explored=2, pruned=0, violated=2,
                             first_violation=1, exhausted=False, no_race_needed=True,
                             reasons=("the search ended at the serial orders",),
                             losing=schedules.serial_payments()),)),
        cell("awkward", "fragile", VIOLATED, f"Something odd. {schedules.HOSTILE}",
             explorations=(
                 exploration(race=schedules.HOSTILE, violated=1, losing=schedules.awkward(),
                             schedule_file="../odd `name`.json",
                             predictions=(Prediction(anomaly="odd", because=schedules.HOSTILE,
                                                     outcome="not tried"),)),)),
        cell("long", "fragile", VIOLATED, "A part was seen that was never written.",
             explorations=(
                 exploration(race="30 parts and a watcher", violated=1, first_violation=1,
                             losing=schedules.sixty_steps()),
                 exploration(race="five payments", explored=300, violated=290, first_violation=9,
                             losing=schedules.many_sessions()))),
    )  # fmt: skip


def _faults() -> tuple[Cell, ...]:
    return (
        cell("lost-answer", "fragile", VIOLATED,
             "The first payment was committed although its answer was lost; the retry paid again.",
             faults=fault_cases(violated=True)),
        cell("lost-answer", "hardened", HELD, "Whatever struck, a retry had no second effect.",
             faults=fault_cases(violated=False)),
    )  # fmt: skip
