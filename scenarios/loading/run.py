"""One build under load, from its first wallet to its last cent."""

import shutil
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg2

from attacks.history import Recorder
from engine.defences import Build
from reports.evidence import Verdict
from reports.load import LoadRun
from scenarios.audit import Audit
from scenarios.evidence import build_of
from scenarios.loading.course import Course, strikes_of
from scenarios.loading.generator import REPORT
from scenarios.loading.histories import Follower
from scenarios.loading.limits import judged
from scenarios.loading.outcome import Audited, run_of
from scenarios.loading.plan import CLOSED_LOOP, LoadPlan
from scenarios.loading.refusals import LoadFailed
from scenarios.loading.site import OPENING_MINOR, Site, open_site, prepare, reconciliation
from scenarios.loading.watching import LoadWatcher
from scenarios.scale import ArchiveError, archive, audit_archive
from scenarios.stand import QUIET_WITHIN_S, Stand, became_quiet

FAULTS = "faults.jsonl"
ROOM_BYTES = 16 * 2**20
"""With less free than this beside what the histories take, a disk is taken for full."""


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
    pace = (
        "as fast as answers come" if plan.tps == CLOSED_LOOP else f"{plan.tps:g} turns due a second"
    )
    faults = f", faults {', '.join(fault.text for fault in plan.faults)}" if plan.faults else ""
    return (
        f"{plan.users} users, {pace}, for {plan.warm_up_s:g} s to warm up and "
        f"{plan.duration_s:g} s that count, seed {plan.seed}{faults}"
    )


def _archived(site: Site, connection: psycopg2.extensions.connection) -> Path:
    """The folder of the archive: beside the histories, or where there is room. Raises ArchiveError
    or OSError.
    """
    try:
        archive(site.folder, connection, site.target)
    except ArchiveError:
        histories = tuple(site.folder.glob("*.jsonl"))
        needed_bytes = ROOM_BYTES + sum(history.stat().st_size for history in histories)
        if shutil.disk_usage(site.folder).free > needed_bytes:
            raise
        elsewhere = site.stand.workspace.folder(f"audit-{site.engine.port}")
        for history in histories:
            (elsewhere / history.name).symlink_to(history.absolute())
        archive(elsewhere, connection, site.target)
        return elsewhere
    return site.folder


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
        with closing(psycopg2.connect(site.database_url)) as connection:
            judged_in = _archived(site, connection)
        verdicts = audit_archive(
            judged_in, doubts=doubts, whole=partial is None, engine_says=engine_says
        )
    except (psycopg2.Error, ArchiveError, ValueError, OSError) as error:
        doubts.append(f"the audit could not be made: {' '.join(str(error).split())}")
        verdicts = Audit(doubts=tuple(doubts))
    if verdicts.verdict is Verdict.HELD and any(seen.violations for seen in course.watch.seen):
        why = "the invariants so far were violated, and in the end they are not"
        verdicts = replace(verdicts, doubts=(*verdicts.doubts, why))
    if course.missed and judged((course.missed,), course.figures, verdicts)[0].met is not False:
        why = f"{course.missed.text} ended the load, and in the end it is not missed"
        verdicts = replace(verdicts, doubts=(*verdicts.doubts, why))
    return Audited(
        audit=verdicts,
        partial=partial is not None,
        lasted_s=time.monotonic() - began_s,
    )
