"""A run: every scenario against every build, evidence written after each cell."""

import secrets
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from engine.defences import Build, named_builds, parse_build
from reports.evidence import Cell, Environment, Evidence
from reports.judgement import exit_code
from reports.store import RunFolder, write_evidence, write_reports
from scenarios.ablation import Removal
from scenarios.cell import run_cell, seed_of
from scenarios.evidence import (
    build_of,
    cell_of,
    claim_of,
    environment_of,
    removal_of,
    suites_of,
)
from scenarios.model import Scenario
from scenarios.racing import Hire, Race
from scenarios.schedule_file import schedule_of
from scenarios.stand import Stand, open_stand
from scenarios.worker_process import work
from scenarios.workers import Post, hiring

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
    workers: int = 1
    """Places at which schedules of a race are tried, each with a database of its own."""
    out: Path = OUT
    removals: tuple[Removal, ...] = ()
    """`ablate`: only what these name is run."""

    @property
    def cells(self) -> tuple[tuple[Scenario, Build], ...]:
        """What is run, in this order."""
        if self.removals:
            return tuple((s, removal.build) for removal in self.removals for s in removal.scenarios)
        return tuple((scenario, build) for scenario in self.scenarios for build in self.builds)


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
    stand: Stand
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
                "builds": tuple(
                    build_of(build, self.stand.isolation_level) for build in plan.builds
                ),
                "claims": tuple(claim_of(scenario) for scenario in plan.scenarios),
                "cells": tuple(self.cells),
                "suites": suites_of(plan.scenarios, plan.builds, self.cells),
                "judged_by": "prediction" if plan.by_prediction else "verdict",
                "ablation": tuple(removal_of(removal) for removal in plan.removals),
            }
        )
        if status != "complete":
            return draft
        return draft.model_copy(update={"exit_code": exit_code(draft)})


def run(plan: Plan, watcher: Watcher) -> tuple[Path, Evidence]:
    """Run the plan; returns the run's folder and its evidence.

    Whatever ends it (Ctrl-C, a full disk) leaves the evidence so far, marked interrupted. Raises
    what stopped it, StoreError when the stores cannot be started.
    """
    with open_stand(plan.stores) as stand:
        current = begin(plan, stand)
        watcher.stores_ready(current.environment)
        try:
            for scenario, build in plan.cells:
                watcher.cell_began(scenario, build)
                cell = run_one(current, scenario, build)
                watcher.cell_ended(current.evidence("running"), cell)
        except BaseException:
            finish(current, "interrupted")
            raise
        return current.folder, finish(current, "complete")


def begin(plan: Plan, stand: Stand) -> Run:
    """A new folder with evidence of nothing yet."""
    began = datetime.now(UTC)
    current = Run(
        plan=plan,
        stand=stand,
        folder=_new_folder(plan.out, began),
        environment=environment_of(stand),
        began=began,
        began_s=time.monotonic(),
    )
    write_evidence(current.folder, current.evidence("running"))
    return current


def run_one(current: Run, scenario: Scenario, build: Build) -> Cell:
    """Run one cell and add it to the evidence."""
    plan = current.plan
    file = RunFolder(path=current.folder).histories / f"{scenario.name}.{_slug(build.name)}.jsonl"
    file.parent.mkdir(exist_ok=True)
    began_s = time.monotonic()
    observation = run_cell(
        current.stand,
        scenario,
        build,
        seed=plan.seed,
        effort=plan.effort,
        history_file=file,
        hire=_hire(current, scenario, build),
    )
    written = [
        _write_schedule(current, scenario, build, race) if race.lost else None
        for race in observation.races
    ]
    cell = cell_of(
        scenario,
        build,
        observation,
        history_file=str(file.relative_to(current.folder)),
        duration_s=time.monotonic() - began_s,
        reproduce=_again(plan, scenario, build),
        schedule_files=written,
    )
    current.cells.append(cell)
    write_evidence(current.folder, current.evidence("running"))
    return cell


def finish(current: Run, status: Literal["complete", "interrupted"]) -> Evidence:
    """Close the evidence and draw the reports."""
    evidence = current.evidence(status)
    write_evidence(current.folder, evidence)
    write_reports(current.folder, evidence)
    return evidence


def _hire(current: Run, scenario: Scenario, build: Build) -> Hire | None:
    plan, stand = current.plan, current.stand
    if plan.workers == 1:
        return None
    post = Post(
        build=build.name,
        claim=scenario.name,
        seed=seed_of(scenario, plan.seed),
        effort=plan.effort,
        postgres_url=stand.postgres.admin_url,
        redis_url=stand.redis.url,
    )
    return hiring(post, plan.workers - 1, work)


def _write_schedule(current: Run, scenario: Scenario, build: Build, race: Race) -> str:
    """The losing schedule as a file for `assay replay`; its path within the run's folder."""
    assert race.explored.losing is not None, "only a lost race has a losing schedule"
    folder = current.folder / "schedules"
    folder.mkdir(exist_ok=True)
    name = f"{scenario.name}.{_slug(build.name)}.{race.round}.json"
    schedule = schedule_of(
        race.explored.losing,
        build=build.name,
        claim=scenario.name,
        race=race.name,
        seed=current.plan.seed,
    )
    (folder / name).write_text(schedule.model_dump_json(indent=1))
    return f"schedules/{name}"


def _new_folder(out: Path, began: datetime) -> Path:
    """Sorts by time; two runs in one second do not meet."""
    folder = out / f"{began:%Y-%m-%dT%H-%M-%S}Z-{secrets.token_hex(2)}"
    folder.mkdir(parents=True)
    return folder


def _again(plan: Plan, scenario: Scenario, build: Build) -> str:
    """The command that runs one cell again."""
    words = ["assay", "verify", "--build", build.name, "--only", scenario.name]
    words += ["--seed", str(plan.seed)]
    if plan.stores != "auto":
        words += ["--stores", plan.stores]
    if plan.effort != 1:
        words += ["--effort", f"{plan.effort:g}"]
    return shlex.join(words)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def new_seed() -> int:
    return secrets.randbelow(2**31)


def read_builds(texts: Sequence[str]) -> tuple[Build, ...]:
    """Builds as one types them: `all`, or names with a comma between them, given once or again.

    What holds a "=" belongs to the build before it: "fragile,hardened,locking=none" are two.
    Raises DefenceError as `parse_build` does.
    """
    names: list[str] = []
    for text in texts:
        for part in text.split(","):
            if "=" in part and names:
                names[-1] += f",{part.strip()}"
            else:
                names += named_builds() if part.strip() == "all" else [part.strip()]
    return tuple({build.name: build for build in map(parse_build, names)}.values())
