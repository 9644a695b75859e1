"""A run: every scenario against every build, evidence written after each cell."""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from engine.defences import Build
from reports.evidence import Cell, Environment, Evidence
from reports.judgement import exit_code
from reports.store import RunFolder, write_evidence, write_reports
from scenarios.cell import run_cell
from scenarios.evidence import build_of, cell_of, claim_of, environment_of, suites_of
from scenarios.model import Scenario
from scenarios.stand import Stand, open_stand

OUT = Path("reports/out")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run, and how it is judged."""

    command: str
    """As the user typed it, for the report."""
    scenarios: tuple[Scenario, ...]
    builds: tuple[Build, ...]
    by_prediction: bool
    """`compare`: every prediction comes true. `verify`: every claim is held."""
    stores: str
    seed: int
    effort: float = 1.0
    out: Path = OUT


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Who is told how the run goes."""

    stores_ready: Callable[[Environment], None] = lambda _: None
    cell_began: Callable[[Scenario, Build], None] = lambda *_: None
    cell_ended: Callable[[Evidence, Cell], None] = lambda *_: None


@dataclass(kw_only=True)
class Run:
    """A run under way; its evidence is always what has been seen so far."""

    plan: Plan
    folder: Path
    environment: Environment
    began: datetime
    began_s: float
    cells: list[Cell] = field(default_factory=list)

    def evidence(self, status: str) -> Evidence:
        plan, done = self.plan, status != "running"
        draft = Evidence.model_validate(
            {
                "run": self.folder.name,
                "command": plan.command,
                "status": status,
                "started_at": self.began,
                "finished_at": datetime.now(UTC) if done else None,
                "duration_s": round(time.monotonic() - self.began_s, 3),
                "seed": plan.seed,
                "target": "Assay wallet engine",
                "environment": self.environment,
                "builds": tuple(build_of(build) for build in plan.builds),
                "claims": tuple(claim_of(scenario) for scenario in plan.scenarios),
                "cells": tuple(self.cells),
                "suites": suites_of(plan.scenarios, plan.builds, self.cells),
                "judged_by": "prediction" if plan.by_prediction else "verdict",
            }
        )
        return draft.model_copy(update={"exit_code": exit_code(draft)}) if done else draft


StandFor = Callable[[str], AbstractContextManager[Stand]]


def run(plan: Plan, watcher: Watcher, *, stand_for: StandFor = open_stand) -> tuple[Path, Evidence]:
    """Run the plan; returns the run's folder and its evidence.

    Whatever ends it (Ctrl-C, a full disk) leaves the evidence so far, marked interrupted. Raises
    what stopped it, StoreError when the stores cannot be started.
    """
    began, began_s = datetime.now(UTC), time.monotonic()
    with stand_for(plan.stores) as stand:
        environment = environment_of(stand)
        watcher.stores_ready(environment)
        folder = _new_folder(plan.out, began)
        current = Run(
            plan=plan, folder=folder, environment=environment, began=began, began_s=began_s
        )
        try:
            _run_cells(current, stand, watcher)
        except BaseException:
            _finish(current, "interrupted")
            raise
        return folder, _finish(current, "complete")


def _run_cells(current: Run, stand: Stand, watcher: Watcher) -> None:
    plan = current.plan
    write_evidence(current.folder, current.evidence("running"))
    for scenario in plan.scenarios:
        for build in plan.builds:
            watcher.cell_began(scenario, build)
            cell = _run_one(current, stand, scenario, build)
            current.cells.append(cell)
            evidence = current.evidence("running")
            write_evidence(current.folder, evidence)
            watcher.cell_ended(evidence, cell)


def _run_one(current: Run, stand: Stand, scenario: Scenario, build: Build) -> Cell:
    plan = current.plan
    file = RunFolder(path=current.folder).histories / f"{scenario.name}.{_slug(build.name)}.jsonl"
    file.parent.mkdir(exist_ok=True)
    began_s = time.monotonic()
    observation = run_cell(
        stand, scenario, build, seed=plan.seed, effort=plan.effort, history_file=file
    )
    return cell_of(
        scenario,
        build,
        observation,
        history_file=str(file.relative_to(current.folder)),
        duration_s=time.monotonic() - began_s,
        seed=plan.seed,
    )


def _finish(current: Run, status: str) -> Evidence:
    evidence = current.evidence(status)
    write_evidence(current.folder, evidence)
    write_reports(current.folder, evidence)
    return evidence


def _new_folder(out: Path, began: datetime) -> Path:
    """Sorts by time; two runs in one second do not meet."""
    folder = out / f"{began:%Y-%m-%dT%H-%M-%S}Z-{secrets.token_hex(2)}"
    folder.mkdir(parents=True)
    return folder


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def new_seed() -> int:
    return secrets.randbelow(2**31)


def choose_builds(builds: Sequence[Build]) -> tuple[Build, ...]:
    """Each build once, in the order given."""
    return tuple({build.name: build for build in builds}.values())
