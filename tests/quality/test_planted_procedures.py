"""Planted bugs in the procedure of `hardened-fast`: nothing between its statements can be seen from
outside, and still each of them is caught, because calls are held back until they overlap."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2
import pytest

from attacks.history import Recorder
from engine.defences import Defences, parse_build
from engine.migrations.whole_transfer import PROCEDURE
from engine.provision import Databases
from engine.stores import PostgresServer
from reports.evidence import Verdict
from scenarios.catalogue import SCENARIOS
from scenarios.cell import Observation, begin, run_cell, seed_of
from scenarios.forced_overlap import ONE_STATEMENT
from scenarios.racing import Replay
from scenarios.schedule_file import ScheduleFile, schedule_of
from scenarios.stand import Stand, open_lab

pytestmark = pytest.mark.slow

CLAIMS = {scenario.name: scenario for scenario in SCENARIOS}
LOCKED = "WHERE w.id = {} FOR NO KEY UPDATE;"
UNLOCKED = [(LOCKED.format(w), f"WHERE w.id = {w};") for w in ("p_payer", "p_payee")]
ABSOLUTE = [
    ("SET balance = w.balance - p_amount", "SET balance = payer.balance - p_amount"),
    ("SET balance = w.balance + p_amount", "SET balance = payee.balance + p_amount"),
]
IN_REQUEST_ORDER = [("IF p_payer < p_payee THEN", "IF true THEN")]
TRIED = "IF NOT pg_try_advisory_xact_lock("
UNTRIED = [(TRIED, "IF NULL < (")]
UNHEEDED = [("    IF NOT FOUND THEN\n        -- By", "    IF false THEN\n        -- By")]
COUNTED_LATE = [("WHERE u.id = p_user FOR NO KEY UPDATE;\n    IF", "WHERE u.id = p_user;\n    IF")]
OWNER = "PERFORM FROM users u WHERE u.id = p_user FOR NO KEY UPDATE;"
OWNER_UNLOCKED = [(OWNER, "PERFORM FROM users u WHERE u.id = p_user;")]
Changes = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Sabotaged(Databases):
    """Each new database gets another procedure."""

    databases: Databases
    postgres: PostgresServer
    procedure: str

    def create(self, defences: Defences) -> str:
        name = self.databases.create(defences)
        with closing(psycopg2.connect(self.postgres.url(name))) as connection, connection:
            connection.cursor().execute(self.procedure)
        return name

    def drop(self, name: str) -> None:
        self.databases.drop(name)


def sabotage(changes: Changes) -> str:
    procedure = PROCEDURE
    for old, new in changes:
        assert old in procedure, old
        procedure = procedure.replace(old, new)
    return procedure


def seen(stand: Stand, claim: str, build: str, changes: Changes, folder: Path) -> Observation:
    databases = Sabotaged(
        databases=stand.databases, postgres=stand.postgres, procedure=sabotage(changes)
    )
    return run_cell(
        replace(stand, databases=databases),
        CLAIMS[claim],
        parse_build(build),
        seed=1,
        effort=0.3,
        history_file=folder / "history.jsonl",
    )


@pytest.mark.parametrize(
    ("claim", "build", "changes", "at_least"),
    [
        ("double-spend", "hardened-fast", UNLOCKED + ABSOLUTE, 10),
        ("deadlock", "hardened-fast,retry=none", IN_REQUEST_ORDER, 10),
        ("concurrent-replay", "hardened-fast", UNTRIED + UNHEEDED, 10),
        ("pin-race", "hardened-fast", COUNTED_LATE, 10),
        # They lose where both calls sum before either commits, on two processors or one: what
        # comes after the lock that both are held by is PostgreSQL's to schedule.
        ("phantom", "hardened-fast", OWNER_UNLOCKED, 1),
        ("write-skew", "hardened-fast", OWNER_UNLOCKED, 1),
    ],
)
def test_a_bug_within_the_one_statement_is_caught(  # noqa: PLR0917 - a case and its stand
    claim: str, build: str, changes: Changes, at_least: int, stand: Stand, tmp_path: Path
) -> None:
    found = seen(stand, claim, build, changes, tmp_path)
    assert found.judgement.verdict is Verdict.VIOLATED, found.judgement.cause
    assert not found.judgement.no_race_needed
    (race,) = [race for race in found.races if race.lost]
    losing = race.explored.losing
    assert losing is not None
    assert losing.held is not None
    assert losing.run.overlapped
    assert not losing.run.uncontrolled
    assert race.explored.reproduced is not None
    again, of = race.explored.reproduced
    assert of == 10
    assert again >= at_least
    sound = seen(stand, claim, build, [], tmp_path)
    assert sound.judgement.verdict is Verdict.HELD, sound.judgement.cause
    for race in sound.races:
        assert race.explored.overlapped > 0
        assert race.explored.reasons == [ONE_STATEMENT]
        assert not race.explored.exhausted


@pytest.mark.parametrize(
    ("claim", "build", "changes"),
    [
        # The second defence: what is added to the row that is there, under a CHECK, and run again.
        ("double-spend", "hardened-fast", UNLOCKED),
        # A deadlock is run again.
        ("deadlock", "hardened-fast", IN_REQUEST_ORDER),
        # The key that somebody else has inserted is found, and everything is run again.
        ("concurrent-replay", "hardened-fast", UNTRIED),
    ],
)
def test_a_bug_that_a_second_defence_covers_does_no_harm(
    claim: str, build: str, changes: Changes, stand: Stand, tmp_path: Path
) -> None:
    found = seen(stand, claim, build, changes, tmp_path)
    assert found.judgement.verdict is Verdict.HELD, found.judgement.cause


def test_a_schedule_that_lost_while_it_was_held_back_is_replayed(
    stand: Stand, tmp_path: Path
) -> None:
    scenario, build = CLAIMS["pin-race"], parse_build("hardened-fast")
    found = seen(stand, scenario.name, build.name, COUNTED_LATE, tmp_path)
    (race,) = found.races
    assert race.explored.losing is not None
    schedule = schedule_of(
        race.explored.losing, build=build.name, claim=scenario.name, race=race.name, seed=1
    )
    kept = ScheduleFile.model_validate_json(schedule.model_dump_json())
    databases = Sabotaged(
        databases=stand.databases, postgres=stand.postgres, procedure=sabotage(COUNTED_LATE)
    )
    with open_lab(
        replace(stand, databases=databases),
        build,
        Recorder(),
        invariants=scenario.invariants,
        seed=seed_of(scenario, 1),
        effort=1,
        settings=scenario.settings,
    ) as lab:
        lab.explorer.replay = Replay(schedule=kept, times=3)
        begin(lab)
        scenario.attack(lab)
    replayed = lab.explorer.replayed
    assert replayed is not None
    assert (replayed.reproduced, replayed.same_trace) == (3, 3), replayed.difference
