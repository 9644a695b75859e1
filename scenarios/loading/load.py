"""A whole load: each build in turn on a database of its own, then the document and its pages."""

import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from reports.evidence import Environment, Verdict
from reports.load import LoadDocument, LoadRun
from reports.load_store import write_load
from scenarios.evidence import environment_of
from scenarios.loading.conclusion import conclude
from scenarios.loading.faults import refuse_what_is_not_ours
from scenarios.loading.outcome import plan_of
from scenarios.loading.plan import LoadPlan
from scenarios.loading.run import run_build
from scenarios.loading.watching import LoadWatcher
from scenarios.stand import open_stand

ENVIRONMENT = 4


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What came of it, and where it is written."""

    document: LoadDocument
    folder: Path
    unwritten: str = ""
    """Why the document or its reports could not be written."""

    @property
    def exit_code(self) -> int:
        """A violation is one, even when there is no room to write it down."""
        violated = self.document.verdict is Verdict.VIOLATED
        return ENVIRONMENT if self.unwritten and not violated else self.document.exit_code


@dataclass(kw_only=True)
class Job:
    """A load under way; what it has seen so far can be written at any time."""

    plan: LoadPlan
    folder: Path
    began: datetime
    began_s: float
    environment: Environment
    load_before: float
    runs: list[LoadRun]

    def write(self, status: Literal["complete", "interrupted"]) -> Loaded:
        document, unwritten = self._document(status), ""
        try:
            write_load(self.folder, document)
        except OSError as error:
            unwritten = f"{self.folder} cannot be written to: {error.strerror}"
        return Loaded(document=document, folder=self.folder, unwritten=unwritten)

    def _document(self, status: Literal["complete", "interrupted"]) -> LoadDocument:
        plan = self.plan
        conclusion = conclude(self.runs, compared=plan.against is not None)
        return LoadDocument(
            run=self.folder.name,
            command=plan.command,
            status=status,
            started_at=self.began,
            duration_s=round(time.monotonic() - self.began_s, 3),
            seed=plan.seed,
            exit_code=conclusion.exit_code,
            verdict=conclusion.verdict,
            conclusion=conclusion.sentence,
            plan=plan_of(plan),
            environment=self.environment,
            load_before=round(self.load_before, 2),
            runs=tuple(self.runs),
        )


def load(plan: LoadPlan, watcher: LoadWatcher) -> Loaded:
    """Load every build of the plan and look for every cent.

    Whatever ends it leaves the histories, and a document of what was judged until then. Raises
    LoadRefused, StoreError, MigrationError, EngineError.
    """
    load_before = os.getloadavg()[0]
    with open_stand(plan.stores) as stand:
        refuse_what_is_not_ours(plan.faults, stand.postgres, stand.redis)
        watcher.tell(f"PostgreSQL {stand.postgres.version}, Redis {stand.redis.version}")
        began = datetime.now(UTC)
        job = Job(
            plan=plan,
            folder=_new_folder(plan.out, began),
            began=began,
            began_s=time.monotonic(),
            environment=environment_of(stand),
            load_before=load_before,
            runs=[],
        )
        try:
            for build in plan.builds:
                job.runs.append(run_build(stand, plan, build, job.folder, watcher))
        except BaseException:
            job.write("interrupted")
            raise
        return job.write("complete")


def _new_folder(out: Path, began: datetime) -> Path:
    """Sorts by time; two runs in one second do not meet."""
    folder = out / f"{began:%Y-%m-%dT%H-%M-%S}Z-load-{secrets.token_hex(2)}"
    folder.mkdir(parents=True)
    return folder
