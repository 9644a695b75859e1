"""One claim against one build on real stores: from the attack to the verdict."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest

from attacks.history import Recorder, read_history
from attacks.postgres.explorer.choosing import serial
from attacks.postgres.explorer.signature import signature
from engine import process
from engine.defences import parse_build
from engine.process import EngineError
from reports.evidence import Verdict
from scenarios import stand as stands
from scenarios.atomicity.chained_movements import SCENARIO as CHAINED
from scenarios.atomicity.persistence import SCENARIO as PERSISTENCE
from scenarios.canary import SCENARIO as CANARY
from scenarios.cell import Observation, run_cell, seed_of
from scenarios.concurrency.double_spend import SCENARIO as DOUBLE_SPEND
from scenarios.lab import AttackFailed, Lab
from scenarios.model import Scenario
from scenarios.stand import Stand, open_lab
from scenarios.targets.engine_wallet import EngineWallet
from scenarios.worker_process import work
from scenarios.workers import Post, hiring

EFFORT = 0.3


@pytest.fixture
def secrets_given(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything secret that the adapter was given or got."""
    given: list[str] = []
    made, logged_in = EngineWallet.__init__, EngineWallet._log_in

    def remember(self: EngineWallet, meta: Any, operator_password: str) -> None:
        given.append(operator_password)
        made(self, meta, operator_password)

    def log_in(self: EngineWallet, ask: Any, username: str, password: str) -> str:
        token = logged_in(self, ask, username, password)
        given.extend((password, token))
        return token

    monkeypatch.setattr(EngineWallet, "__init__", remember)
    monkeypatch.setattr(EngineWallet, "_log_in", log_in)
    return given


def _run(stand: Stand, scenario: Scenario, build: str, file: Path) -> Observation:
    return run_cell(stand, scenario, parse_build(build), seed=1, effort=EFFORT, history_file=file)


def _attacking(scenario: Scenario, attack: Any) -> Scenario:
    return replace(scenario, attack=attack)


def test_fragile_pays_twice_and_nothing_is_left(stand: Stand, tmp_path: Path) -> None:
    before = _databases(stand)
    seen = _run(stand, DOUBLE_SPEND, "fragile", tmp_path / "history.jsonl")
    assert seen.judgement.verdict is Verdict.VIOLATED
    assert _databases(stand) == before
    assert seen.judgement.findings[0].invariant == "never paid out more than held"
    assert read_history(tmp_path / "history.jsonl") == seen.history


def test_hardened_holds_and_its_history_tells_no_secret(
    stand: Stand, tmp_path: Path, secrets_given: list[str]
) -> None:
    file = tmp_path / "history.jsonl"
    seen = _run(stand, DOUBLE_SPEND, "hardened", file)
    assert seen.judgement.verdict is Verdict.HELD, seen.judgement.cause
    (race,) = seen.races
    assert race.explored.exhausted, race.explored.reasons
    assert seen.judgement.rounds == race.explored.explored > 2
    assert len(secrets_given) > 4
    schedules = file.with_suffix(".schedules.jsonl").read_text()
    assert len(schedules.splitlines()) >= race.explored.explored
    text = file.read_text() + schedules
    assert not [secret for secret in secrets_given if secret in text]
    assert "Bearer" not in text
    control = [o for o in seen.history.operations if o.actor == "control"]
    assert [o.outcome for o in control] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("name", "expected"), [("fragile", Verdict.VIOLATED), ("hardened", Verdict.HELD)]
)
def test_chains_break_as_predicted(
    stand: Stand, tmp_path: Path, name: str, expected: Verdict
) -> None:
    seen = _run(stand, CHAINED, name, tmp_path / "history.jsonl")
    assert seen.judgement.verdict is expected, seen.judgement.cause
    (series,) = seen.series
    assert {case.fate for case in series.cases} >= {"committed", "aborted", "nothing was written"}
    struck = {event.kind for event in seen.history.events}
    assert struck <= set(series.faults)
    if expected is Verdict.HELD:
        assert struck == set(series.faults)
        assert len(series.cases) == series.points * 4 + 1
        assert any(case.restarted for case in series.cases)


def test_a_race_that_breaks_off_says_nothing_about_the_service(
    stand: Stand, tmp_path: Path
) -> None:
    """Also when the database could not be put back: then there is no ground truth."""

    def attack(lab: Lab) -> None:
        payer, payee = lab.wallets(1_00, 0, round=1)
        ground: Any = lab.explorer.ground
        ground.track.force = ground.forget = _interrupted
        lab.explore("a race", payer.pays(payee, 1_00), payer.pays(payee, 1_00), round=1)

    seen = _run(stand, _attacking(DOUBLE_SPEND, attack), "fragile", tmp_path / "history.jsonl")
    assert seen.judgement.verdict is Verdict.UNKNOWN
    assert seen.truth is None
    assert "a mistake of ours" in seen.judgement.cause


def test_a_third_request_that_changes_nothing_is_left_out(stand: Stand, tmp_path: Path) -> None:
    def attack(lab: Lab) -> None:
        payer, payee, other = lab.wallets(1_00, 0, 5_00, round=1)
        lab.explore(
            "two payments of the whole balance and a read",
            payer.pays(payee, 1_00),
            other.read(),
            payer.pays(other, 1_00),
            round=1,
        )

    seen = _run(stand, _attacking(DOUBLE_SPEND, attack), "fragile", tmp_path / "history.jsonl")
    assert seen.judgement.verdict is Verdict.VIOLATED
    (race,) = seen.races
    assert race.explored.losing is not None
    assert set(race.explored.losing.run.order) == {0, 2}
    assert race.explored.reproduced == (10, 10)
    assert race.lost is not None
    assert [operation.actor for operation in race.lost.operations] == ["A", "C"]


def _interrupted(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a mistake of ours")


def test_rows_that_lie_in_another_order_are_no_doubt(stand: Stand) -> None:
    """What autovacuum does meanwhile may change a plan, and with it the order of an answer's rows.

    Two same orders of choices have the same signature all the same.
    """
    signatures, rows = set(), []
    build = parse_build("hardened")
    with open_lab(stand, build, Recorder(), invariants=(), seed="1", effort=1) as lab:
        payer, payee = lab.wallets(1_00, 0, round=1)
        ground = lab.explorer.ground
        racers = ground.racers((payer.pays(payee, 1_00),), 1)
        with ground.from_here() as again, closing(psycopg2.connect(lab.database_url)) as connection:
            connection.autocommit = True
            for statement in ("SELECT 1", "SELECT 1", "ANALYZE"):
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                again()
                run = ground.track.force(racers, serial((0,)))
                signatures.add(signature(run))
                rows.append([taken.reply.rows for taken in run.taken])
    assert rows[0] == rows[1]
    assert rows[1] != rows[2], "the rows came in the same order: this test shows nothing"
    assert len(signatures) == 1


@pytest.mark.slow
def test_two_workers_search_one_race(stand: Stand, tmp_path: Path) -> None:
    """The same number of orders as one, and each worker's database goes with it."""
    before = _databases(stand)
    explored = []
    for hire in (None, _hire(stand, DOUBLE_SPEND, "hardened")):
        seen = run_cell(
            stand,
            DOUBLE_SPEND,
            parse_build("hardened"),
            seed=1,
            effort=EFFORT,
            history_file=tmp_path / "history.jsonl",
            hire=hire,
        )
        assert seen.judgement.verdict is Verdict.HELD, seen.judgement.cause
        assert seen.races[0].explored.exhausted, seen.races[0].explored.reasons
        explored.append(seen.races[0].explored.explored)
    # Two places may each begin an order that the other's result would have spared.
    assert explored[0] <= explored[1] <= 2 * explored[0]
    assert _databases(stand) == before


@pytest.mark.slow
def test_a_worker_that_cannot_work_is_said(stand: Stand, tmp_path: Path) -> None:
    seen = run_cell(
        stand,
        DOUBLE_SPEND,
        parse_build("hardened"),
        seed=1,
        effort=EFFORT,
        history_file=tmp_path / "history.jsonl",
        hire=_hire(stand, DOUBLE_SPEND, "hardened", postgres_url=NOWHERE),
    )
    assert seen.judgement.verdict is Verdict.UNKNOWN
    assert "a worker broke off: StoreError" in seen.judgement.cause


NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def _hire(stand: Stand, scenario: Scenario, build: str, *, postgres_url: str | None = None) -> Any:
    post = Post(
        build=build,
        claim=scenario.name,
        seed=seed_of(scenario, 1),
        effort=EFFORT,
        postgres_url=postgres_url or stand.postgres.admin_url,
        redis_url=stand.redis.url,
    )
    return hiring(post, 1, work)


def _raises(lab: Lab) -> None:
    lab.wallets(1_00, 0, round=1)
    raise ZeroDivisionError("a mistake of ours")


def _gives_up(lab: Lab) -> None:
    raise AttackFailed("nothing came to wait")


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (_raises, "the harness failed at test_cell.py:"),
        (_gives_up, "nothing came to wait"),
    ],
)
def test_an_attack_that_fails_says_nothing_about_the_service(
    stand: Stand, tmp_path: Path, attack: Any, reason: str
) -> None:
    scenario = _attacking(DOUBLE_SPEND, attack)
    seen = _run(stand, scenario, "fragile", tmp_path / "history.jsonl")
    assert seen.judgement.verdict is Verdict.UNKNOWN
    assert seen.judgement.reasons[0].startswith(reason)
    json.dumps(seen.judgement.cause)


def _kills(lab: Lab) -> None:
    CANARY.attack(lab)
    lab.service.kill()


def test_a_service_that_is_dead_at_the_end_is_unknown(stand: Stand, tmp_path: Path) -> None:
    harmless = replace(CANARY, attack=_kills, invariants=())
    seen = _run(stand, harmless, "fragile", tmp_path / "history.jsonl")
    assert seen.judgement.verdict is Verdict.UNKNOWN
    assert seen.judgement.reasons[0].startswith("a control operation failed: transfer 1.00")


def test_an_engine_that_cannot_start_is_unknown_with_its_words(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise EngineError("the engine (hardened) did not get ready on port 1: JWT_SECRET is empty")

    monkeypatch.setattr(stands, "start_engine", broken)
    before = _databases(stand)
    seen = _run(stand, DOUBLE_SPEND, "hardened", tmp_path / "history.jsonl")
    assert seen.judgement.verdict is Verdict.UNKNOWN
    assert seen.judgement.reasons == (
        "the engine (hardened) did not get ready on port 1: JWT_SECRET is empty",
    )
    assert seen.history.operations == ()
    assert _databases(stand) == before


def test_a_real_engine_says_why_it_did_not_start(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn = process.EngineProcess._spawn

    def without_database(self: process.EngineProcess) -> Any:
        self._config = replace(self._config, database_url="postgresql://nobody@127.0.0.1:1/none")
        return spawn(self)

    monkeypatch.setattr(process.EngineProcess, "_spawn", without_database)
    monkeypatch.setattr(process, "READY_WITHIN_S", 1.0)
    seen = _run(stand, DOUBLE_SPEND, "hardened", tmp_path / "history.jsonl")
    assert seen.judgement.verdict is Verdict.UNKNOWN
    assert "did not get ready" in seen.judgement.cause


def test_a_scenarios_settings_reach_the_service(stand: Stand, tmp_path: Path) -> None:
    bound = replace(DOUBLE_SPEND, settings={"LOCK_TIMEOUT_MS": "0"})
    seen = _run(stand, bound, "hardened", tmp_path / "history.jsonl")
    assert seen.judgement.verdict is Verdict.UNKNOWN
    assert "LOCK_TIMEOUT_MS: Input should be greater than or equal to 1" in seen.judgement.cause


def test_everything_is_restarted_beneath_the_proxy(stand: Stand, tmp_path: Path) -> None:
    seen = _run(stand, PERSISTENCE, "hardened", tmp_path / "history.jsonl")
    assert seen.judgement.verdict is Verdict.HELD, seen.judgement.cause


def test_a_store_that_is_not_ours_is_not_restarted(stand: Stand, tmp_path: Path) -> None:
    theirs: Any = SimpleNamespace(restartable=False)
    seen = _run(
        replace(stand, postgres=theirs), PERSISTENCE, "hardened", tmp_path / "history.jsonl"
    )
    assert seen.judgement.verdict is Verdict.NOT_APPLICABLE
    assert seen.judgement.cause == "PostgreSQL is not ours to restart"
    assert seen.history.operations == ()


def _databases(stand: Stand) -> set[str]:
    with closing(psycopg2.connect(stand.postgres.admin_url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT datname FROM pg_database WHERE datname NOT LIKE 'assay_template%'")
        return {name for (name,) in cursor.fetchall()}
