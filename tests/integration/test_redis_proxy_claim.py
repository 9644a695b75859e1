"""The claim about every command of Redis, against real stores."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from attacks.history import Event, History
from attacks.redis.faults import FAULTS
from engine.defences import parse_build
from reports.evidence import Verdict
from scenarios.cell import Observation, run_cell
from scenarios.outage.redis_commands import SCENARIO, commands, fault_cases, struck_everywhere
from scenarios.stand import Stand
from tests.unit.histories.small import operation

pytestmark = pytest.mark.slow

EFFORT = 0.3


def _run(stand: Stand, build: str, folder: Path) -> Observation:
    return run_cell(
        stand,
        SCENARIO,
        parse_build(build),
        seed=1,
        effort=EFFORT,
        history_file=folder / "history.jsonl",
    )


def test_hardened_holds_at_every_command(stand: Stand, tmp_path: Path) -> None:
    seen = _run(stand, "hardened", tmp_path)
    assert seen.judgement.verdict is Verdict.HELD, seen.judgement.cause
    assert seen.truth is not None
    rows = fault_cases(seen.history, seen.truth, ())
    payments = [row for row in rows if row.request == "payment"]
    assert len(payments) == round(36 * EFFORT) == seen.judgement.rounds - 1
    assert {row.step for row in payments} == {1, 2, 3, 4}
    assert {row.fault for row in rows} <= {fault.text for fault in FAULTS}
    assert {row.client for row in payments} == {"201"}
    assert {row.retry for row in payments} == {"201 replayed"}
    assert {row.database for row in payments} == {"committed"}
    assert {row.request for row in rows} == {"payment", "retry", "read"}
    assert not any(row.violated for row in rows)
    told = commands(seen.history).value
    assert told.startswith(f"{len(rows)} struck; ")
    assert (
        "payment 4 (EVAL GET EVAL SET), retry 3 (EVAL GET SET), read 3 (EVAL EVAL EVAL)"
    ) in told


def test_fragile_breaks_and_the_row_says_where(stand: Stand, tmp_path: Path) -> None:
    seen = _run(stand, "fragile", tmp_path)
    assert seen.judgement.verdict is Verdict.VIOLATED
    assert seen.truth is not None
    rounds = {finding.round for finding in seen.judgement.findings}
    rows = fault_cases(seen.history, seen.truth, rounds)
    assert [row.violated for row in rows] == [True] * len(rows)
    assert rows[0].fault == "Redis has lost all its data"
    assert rows[0].database == "committed 2 times"


def test_a_redis_of_somebody_else_keeps_its_data(stand: Stand, tmp_path: Path) -> None:
    ours = stand.redis
    theirs: Any = SimpleNamespace(
        restartable=False,
        host=ours.host,
        port=ours.port,
        url=ours.url,
        database=ours.database,
        password=ours.password,
    )
    with redis.Redis.from_url(ours.url) as direct:
        direct.set("somebody:else", "kept")
        seen = _run(replace(stand, redis=theirs), "hardened", tmp_path)
        assert direct.get("somebody:else") == b"kept"
    assert seen.judgement.verdict is Verdict.HELD, seen.judgement.cause
    assert seen.truth is not None
    rows = fault_cases(seen.history, seen.truth, ())
    assert {row.step for row in rows if row.request == "payment"} == {1, 2, 3, 4}


def _event(kind: str, number: int, text: str = "") -> Event:
    return Event(kind=kind, text=text, round=number, at_s=float(number))


COUNTED = _event("counted", 1, "commands to Redis: payment 3 (…), retry 2 (…), read 0 ()")


@pytest.mark.parametrize(
    ("events", "doubt"),
    [
        ([], "commands to Redis were never counted"),
        ([COUNTED], "faults struck the payment in only 0 of 2 cases"),
        (
            [COUNTED, _event("payment-struck", 2)],
            "faults struck the payment in only 1 of 2 cases",
        ),
        (
            [COUNTED, *(_event("payment-struck", n) for n in (2, 3)), _event("retry-struck", 1)],
            "faults struck the retry in only 0 of 2 cases",
        ),
        (
            [COUNTED, *(_event("payment-struck", n) for n in (2, 3)), _event("retry-struck", 3)],
            None,
        ),
    ],
)
def test_a_case_that_was_not_struck_proves_nothing(events: list[Event], doubt: str | None) -> None:
    operations = tuple(operation(n, round=n) for n in (1, 2, 3))
    assert struck_everywhere(History(operations=operations, events=tuple(events))) == doubt
