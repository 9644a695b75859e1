"""A run: every scenario against every build, evidence written after each cell."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from engine.defences import Build, named_builds, parse_build
from reports.evidence import Cell, Environment, Evidence
from reports.judgement import exit_code
from reports.store import write_evidence, write_reports
from scenarios.ablation import Removal
from scenarios.cell_record import Terms
from scenarios.evidence import (
    build_of,
    claim_of,
    removal_of,
    suites_of,
)
from scenarios.lanes import Ground, open_lanes
from scenarios.model import Scenario

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
    jobs: int = 1
    """Cells at once, each on stores of its own."""
    out: Path = OUT
    removals: tuple[Removal, ...] = ()
    """`ablate`: only what these name is run."""

    @property
    def cells(self) -> tuple[tuple[Scenario, Build], ...]:
        """What is run, in this order."""
        if self.removals:
            # Two at once are searched for longest: nobody is to wait for them in the end.
            ordered = sorted(self.removals, key=lambda removal: -len(removal.removed))
            return tuple((s, removal.build) for removal in ordered for s in removal.scenarios)
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
    ground: Ground
    folder: Path
    began: datetime
    began_s: float
    cells: list[Cell] = field(default_factory=list)

    @property
    def terms(self) -> Terms:
        plan = self.plan
        return Terms(
            folder=self.folder,
            stores=plan.stores,
            seed=plan.seed,
            effort=plan.effort,
            workers=plan.workers,
        )

    def add(self, cell: Cell) -> None:
        """To the evidence, at its place in the plan: cells are done in any order."""
        places = {(s.name, build.name): place for place, (s, build) in enumerate(self.plan.cells)}
        self.cells.append(cell)
        self.cells.sort(key=lambda one: places[one.scenario, one.build])
        write_evidence(self.folder, self.evidence("running"))

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
                "environment": self.ground.environment,
                "builds": tuple(
                    build_of(build, self.ground.isolation_level) for build in plan.builds
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
    with open_lanes(plan.stores, max(1, min(plan.jobs, len(plan.cells)))) as lanes:
        current = begin(plan, lanes.ground)
        watcher.stores_ready(current.ground.environment)
        try:
            for cell in lanes.run(current.terms, plan.cells, watcher.cell_began):
                current.add(cell)
                watcher.cell_ended(current.evidence("running"), cell)
        except BaseException:
            finish(current, "interrupted")
            raise
        return current.folder, finish(current, "complete")


def begin(plan: Plan, ground: Ground) -> Run:
    """A new folder with evidence of nothing yet."""
    began = datetime.now(UTC)
    current = Run(
        plan=plan,
        ground=ground,
        folder=_new_folder(plan.out, began),
        began=began,
        began_s=time.monotonic(),
    )
    write_evidence(current.folder, current.evidence("running"))
    return current


def finish(current: Run, status: Literal["complete", "interrupted"]) -> Evidence:
    """Close the evidence and draw the reports."""
    evidence = current.evidence(status)
    write_evidence(current.folder, evidence)
    write_reports(current.folder, evidence)
    return evidence


def _new_folder(out: Path, began: datetime) -> Path:
    """Sorts by time; two runs in one second do not meet."""
    folder = out / f"{began:%Y-%m-%dT%H-%M-%S}Z-{secrets.token_hex(2)}"
    folder.mkdir(parents=True)
    return folder


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
