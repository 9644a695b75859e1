"""One build under load, from its first wallet to its last cent."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg2
import psycopg2.extensions

from attacks.history import History, Recorder, read_history
from engine.defences import Build
from reports.evidence import Verdict
from reports.load import LoadRun, Losses
from scenarios.audit import Audit, Check, audit, merged
from scenarios.evidence import build_of
from scenarios.loading.course import Course, strikes_of
from scenarios.loading.generator import REPORT
from scenarios.loading.histories import Follower
from scenarios.loading.losses import losses
from scenarios.loading.outcome import Audited, run_of
from scenarios.loading.plan import CLOSED_LOOP, LoadPlan
from scenarios.loading.refusals import LoadFailed
from scenarios.loading.site import OPENING_MINOR, Site, open_site, prepare, reconciliation
from scenarios.loading.watching import LoadWatcher
from scenarios.scale import ArchiveError, archive, audit_archive
from scenarios.stand import QUIET_WITHIN_S, Stand, became_quiet

FAULTS = "faults.jsonl"
MOST_IN_MEMORY = 200_000
"""Operations. With more, histories and database are judged as Parquet."""


def run_build(
    stand: Stand, plan: LoadPlan, build: Build, folder: Path, watcher: LoadWatcher
) -> LoadRun:
    """Prepare, warm up, load, wait until quiet, audit. `folder` is the run's.

    Raises StoreError, MigrationError, EngineError.
    """
    place = f"histories/{build.name}"
    record = build_of(build, stand.isolation_level)
    with open_site(stand, plan, build, folder / place) as site:
        watcher.tell(
            f"preparing {plan.wallets} wallets of {OPENING_MINOR / 100:.2f} in {build.name}"
        )
        course: Course | None = None
        try:
            course = _under_load(site, plan, watcher)
            audited = _audited(site, course)
        except LoadFailed as error:
            audited = Audited(audit=Audit(doubts=(str(error),)))
        has_report = (site.folder / REPORT).exists()
    report = f"{place}/{REPORT}" if has_report else None
    return run_of(record, course, audited, place=place, report=report)


def _under_load(site: Site, plan: LoadPlan, watcher: LoadWatcher) -> Course:
    """Raises LoadFailed when it left no history."""
    wallets = prepare(site, plan.wallets)
    watcher.tell(announced(plan))
    with (site.folder / FAULTS).open("w") as file:
        recorder = Recorder(file, since_epoch=True, keep=False)
        course = Course(
            site=site,
            plan=plan,
            follower=Follower(folder=site.folder),
            strikes=strikes_of(site, plan, recorder),
            watcher=watcher,
        )
        course.run(wallets)
    if course.figures is None:
        raise LoadFailed("; ".join(course.doubts) or "Locust sent nothing")
    return course


def announced(plan: LoadPlan) -> str:
    pace = "as fast as answers come" if plan.tps == CLOSED_LOOP else f"{plan.tps:g} a second"
    faults = f", faults {', '.join(fault.text for fault in plan.faults)}" if plan.faults else ""
    return (
        f"{plan.users} users pay {pace} for {plan.warm_up_s:g} s to warm up and "
        f"{plan.duration_s:g} s that count, seed {plan.seed}{faults}"
    )


def _audited(site: Site, course: Course) -> Audited:
    doubts = list(course.doubts)
    partial = course.why_partial()
    if partial:
        doubts.append(f"the history is partial: {partial}")
    began_s = time.monotonic()
    try:
        if not became_quiet(site.database_url):
            doubts.append(f"the engine was still at work {QUIET_WITHIN_S:g} s after the load")
        engine_says = reconciliation(site.engine)
        judge = _judged_in_memory if course.requests <= MOST_IN_MEMORY else _judged_at_scale
        with closing(psycopg2.connect(site.database_url)) as connection:
            verdicts, lost = judge(site, course, connection, doubts, engine_says)
    except (psycopg2.Error, ArchiveError, ValueError, OSError) as error:
        doubts.append(f"the audit could not be made: {' '.join(str(error).split())}")
        verdicts, lost = Audit(doubts=tuple(doubts)), Losses()
    if verdicts.verdict is Verdict.HELD and any(seen.violations for seen in course.watch.seen):
        why = "the invariants so far were violated, and in the end they are not"
        verdicts = replace(verdicts, doubts=(*verdicts.doubts, why))
    return Audited(
        audit=verdicts,
        losses=lost,
        partial=partial is not None,
        lasted_s=time.monotonic() - began_s,
    )


def _judged_in_memory(
    site: Site,
    course: Course,
    connection: psycopg2.extensions.connection,
    doubts: Sequence[str],
    engine_says: Check,
) -> tuple[Audit, Losses]:
    truth = site.target.read_truth(connection)
    history, whole = _whole_history(site.folder, course), course.why_partial() is None
    verdicts = audit(history, truth, doubts=doubts, whole=whole, engine_says=engine_says)
    return verdicts, losses(history, truth, whole=whole)


def _judged_at_scale(
    site: Site,
    course: Course,  # noqa: ARG001 - as `_judged_in_memory`
    connection: psycopg2.extensions.connection,
    doubts: Sequence[str],
    engine_says: Check,
) -> tuple[Audit, Losses]:
    """In bounded memory, with the same verdicts; the losses are not counted."""
    archive(site.folder, connection, site.target)
    return audit_archive(site.folder, doubts=doubts, engine_says=engine_says), Losses()


def _whole_history(folder: Path, course: Course) -> History:
    """Preparation and load; lines that cannot be read are missing, which `why_partial` says."""
    files = (folder / "preparation.jsonl", *course.follower.files)
    return merged(read_history(path, torn=True) for path in files)
