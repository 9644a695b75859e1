"""One cell of a run, with the files that it leaves in the run's folder."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from engine.defences import Build
from reports.evidence import Cell
from reports.store import RunFolder
from scenarios.cell import run_cell, seed_of
from scenarios.evidence import cell_of
from scenarios.model import Scenario
from scenarios.racing import Hire, Race
from scenarios.schedule_file import schedule_of
from scenarios.stand import Stand
from scenarios.worker_process import work
from scenarios.workers import Post, hiring


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What all cells of a run have in common."""

    folder: Path
    """The run's."""
    stores: str
    seed: int
    effort: float
    workers: int
    """Places at which schedules of a race are tried, each with a database of its own."""


def record_cell(terms: Terms, stand: Stand, scenario: Scenario, build: Build) -> Cell:
    """Run it, and write its history and the schedules that lost."""
    file = RunFolder(path=terms.folder).histories / f"{scenario.name}.{_slug(build.name)}.jsonl"
    file.parent.mkdir(exist_ok=True)
    began_s = time.monotonic()
    observation = run_cell(
        stand,
        scenario,
        build,
        seed=terms.seed,
        effort=terms.effort,
        history_file=file,
        hire=_hire(terms, stand, scenario, build),
    )
    written = [
        _write_schedule(terms, scenario, build, race) if race.lost else None
        for race in observation.races
    ]
    return cell_of(
        scenario,
        build,
        observation,
        history_file=str(file.relative_to(terms.folder)),
        duration_s=time.monotonic() - began_s,
        reproduce=_again(terms, scenario, build),
        schedule_files=written,
    )


def _hire(terms: Terms, stand: Stand, scenario: Scenario, build: Build) -> Hire | None:
    if terms.workers == 1:
        return None
    post = Post(
        build=build.name,
        claim=scenario.name,
        seed=seed_of(scenario, terms.seed),
        effort=terms.effort,
        postgres_url=stand.postgres.admin_url,
        redis_url=stand.redis.url,
    )
    return hiring(post, terms.workers - 1, work)


def _write_schedule(terms: Terms, scenario: Scenario, build: Build, race: Race) -> str:
    """The losing schedule as a file for `assay replay`; its path within the run's folder."""
    assert race.explored.losing is not None, "only a lost race has a losing schedule"
    folder = terms.folder / "schedules"
    folder.mkdir(exist_ok=True)
    name = f"{scenario.name}.{_slug(build.name)}.{race.round}.json"
    schedule = schedule_of(
        race.explored.losing,
        build=build.name,
        claim=scenario.name,
        race=race.name,
        seed=terms.seed,
    )
    (folder / name).write_text(schedule.model_dump_json(indent=1))
    return f"schedules/{name}"


def _again(terms: Terms, scenario: Scenario, build: Build) -> str:
    """The command that runs one cell again."""
    words = ["assay", "verify", "--build", build.name, "--only", scenario.name]
    words += ["--seed", str(terms.seed)]
    if terms.stores != "auto":
        words += ["--stores", terms.stores]
    if terms.effort != 1:
        words += ["--effort", f"{terms.effort:g}"]
    return shlex.join(words)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)
