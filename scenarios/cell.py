"""One scenario against one build: set up, control, attack, quiesce, read the truth, judge."""

import traceback
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from attacks.history import History, Recorder
from attacks.postgres.checkpoint import CheckpointError
from attacks.postgres.observer import ObserverError
from attacks.postgres.side_session import SideSessionError
from engine.defences import Build, as_dict
from engine.migrations import MigrationError
from engine.process import EngineError
from engine.stores import StoreError
from scenarios.judging import Judgement, judge, not_applicable
from scenarios.lab import AttackFailed, Lab, Wallet
from scenarios.model import Scenario
from scenarios.racing import Hire, Race
from scenarios.stand import Stand, open_lab, wait_until_quiet
from scenarios.striking import Series
from scenarios.targets.protocol import TargetError
from scenarios.truth import GroundTruth
from scenarios.workers import WorkerError

EXPECTED_FAILURES = (
    AttackFailed,
    CheckpointError,
    EngineError,
    ObserverError,
    SideSessionError,
    StoreError,
    TargetError,
    WorkerError,
)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a cell saw, and what follows from it."""

    history: History
    judgement: Judgement
    truth: GroundTruth | None = None
    races: tuple[Race, ...] = ()
    series: tuple[Series, ...] = ()


def run_cell(  # noqa: PLR0913 - what a cell is made of
    stand: Stand,
    scenario: Scenario,
    build: Build,
    *,
    seed: int,
    effort: float,
    history_file: Path,
    hire: Hire | None = None,
) -> Observation:
    """What goes wrong in the attack is never raised: it is a verdict unknown, with the reason."""
    with history_file.open("w") as file:
        if reason := _senseless(stand, scenario, build):
            judgement = not_applicable(reason)
            return Observation(history=History(operations=()), judgement=judgement)
        recorder = Recorder(file)
        truth, failure = None, None
        races: tuple[Race, ...] = ()
        series: tuple[Series, ...] = ()
        try:
            with open_lab(
                stand,
                build,
                recorder,
                invariants=scenario.invariants,
                seed=seed_of(scenario, seed),
                effort=effort,
                schedules=history_file.with_suffix(".schedules.jsonl"),
                settings=scenario.settings,
                processes=scenario.processes,
            ) as lab:
                lab.explorer.hire = hire or lab.explorer.hire
                truth, failure = _attack(lab, scenario)
                races, series = tuple(lab.explorer.races), tuple(lab.striker.series)
        except (EngineError, MigrationError, ObserverError, StoreError) as error:
            failure = str(error)
        history = recorder.history()
    judgement = judge(scenario, history, truth, failure=failure, races=races, series=series)
    return Observation(
        history=history, judgement=judgement, truth=truth, races=races, series=series
    )


def _senseless(stand: Stand, scenario: Scenario, build: Build) -> str | None:
    """Why nothing could be learned from this cell."""
    if "postgres" in scenario.restarts and not stand.postgres.restartable:
        return "PostgreSQL is not ours to restart"
    if "redis" in scenario.restarts and not stand.redis.restartable:
        return "Redis is not ours to empty or restart"
    applies = scenario.applies_when.holds(as_dict(build.defences))
    return None if applies else scenario.applies_not


def seed_of(scenario: Scenario, seed: int) -> str:
    """Of one cell: the same in every process that stands on it."""
    return f"{seed}/{scenario.name}"


def _attack(lab: Lab, scenario: Scenario) -> tuple[GroundTruth | None, str | None]:
    """Ground truth and, if the attack did not get to its end, why."""
    failure = None
    try:
        payer, payee = begin(lab)
        scenario.attack(lab)
        wait_until_quiet(lab)
        _control(lab, payer, payee)
    except EXPECTED_FAILURES as error:
        failure = str(error)
    except Exception as error:  # noqa: BLE001 - a fault of the harness must not pass for a verdict
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        failure = f"the harness failed at {place}: {error!r}"
    if not all(sender.settle() for sender in lab.senders):
        return None, failure or "requests were still under way long after the attack"
    if lab.explorer.ground.unsettled:
        return None, failure
    with suppress(AttackFailed):
        wait_until_quiet(lab)
    try:
        with closing(psycopg2.connect(lab.database_url)) as connection:
            return lab.target.read_truth(connection), failure
    except Exception as error:  # noqa: BLE001 - whatever it is, there is nothing to judge by
        return None, failure or f"ground truth could not be read: {str(error).strip()}"


def begin(lab: Lab) -> tuple[Wallet, Wallet]:
    """The wallets of the control payments, and the first of these.

    Also where nobody controls anything: the attack then meets the same ids and keys.
    """
    payer, payee = lab.wallets(5_00, 0, round=None)
    _control(lab, payer, payee)
    return payer, payee


def _control(lab: Lab, payer: Wallet, payee: Wallet) -> None:
    """The plain money path, before and after the attack."""
    lab.sender.send(payer.pays(payee, 1_00), actor="control")
