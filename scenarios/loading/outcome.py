"""From what was seen of a load to the document that it leaves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.evidence import Build
from reports.load import AuditCheck, FaultStruck, LoadRun
from reports.load import LoadPlan as PlanRecord
from scenarios.audit import Audit
from scenarios.loading.course import Course
from scenarios.loading.faults import Strike
from scenarios.loading.figures import Figures
from scenarios.loading.limits import judged
from scenarios.loading.plan import CLOSED_LOOP, LoadPlan
from scenarios.loading.recovery import Usual, felt, usual_before


@dataclass(frozen=True, kw_only=True)
class Audited:
    """What came of looking for every cent."""

    audit: Audit
    partial: bool = False
    lasted_s: float = 0.0


def plan_of(plan: LoadPlan) -> PlanRecord:
    return PlanRecord(
        users=plan.users,
        wallets=plan.wallets,
        tps=plan.tps,
        profile=plan.profile,
        mix=plan.mix,
        warm_up_s=plan.warm_up_s,
        duration_s=plan.duration_s,
        engine_workers=plan.workers,
        locust_processes=plan.processes,
        faults=tuple(fault.text for fault in plan.faults),
        thresholds=tuple(threshold.text for threshold in plan.thresholds),
    )


def run_of(
    build: Build,
    course: Course | None,
    audited: Audited,
    *,
    place: str,
    report: str | None,
) -> LoadRun:
    """`course` is None when there was no load."""
    verdicts = audited.audit
    run = LoadRun(
        build=build,
        verdict=verdicts.verdict,
        partial=audited.partial,
        doubts=verdicts.doubts,
        histories=place,
        locust_report=report,
        payments=verdicts.payments,
        checks=tuple(
            AuditCheck(claim=c.claim, verdict=c.verdict, detail=c.detail) for c in verdicts.checks
        ),
        audited_in_s=round(audited.lasted_s, 3),
        losses=verdicts.losses,
    )
    if course is None or course.figures is None:
        return run
    figures = course.figures
    series = figures.series()
    return run.model_copy(
        update={
            "payments": figures.payments,
            "lasted_s": round(figures.lasted_s, 3),
            "payments_per_s": round(figures.payments_per_s, 2),
            "rows": figures.rows(),
            "series": series,
            "samples": course.sampler.samples(),
            "so_far": tuple(course.watch.seen),
            "thresholds": judged(course.plan.thresholds, figures, verdicts),
            "stopped_by": course.missed.text if course.missed else "",
            "faults": faults_of(course.strikes.all, figures, paced=course.plan.tps != CLOSED_LOOP),
        }
    )


def faults_of(
    strikes: Sequence[Strike], figures: Figures, *, paced: bool
) -> tuple[FaultStruck, ...]:
    """In the order in which they struck, each held against the last quiet time before it."""
    if not strikes:
        return ()
    answers = figures.answers(paced=paced)
    ends_s = answers.due_s[-1] if answers.due_s else 0.0
    usual: Usual | None = None
    quiet_from_s, records = 0.0, []
    for strike in strikes:
        record = _record(strike, figures.clock_s)
        usual = usual_before(answers, record.at_s, quiet_from_s=quiet_from_s) or usual
        if record.struck and record.until_s is not None and usual is not None:
            seen = felt(answers, usual, at_s=record.at_s, until_s=record.until_s, ends_s=ends_s)
            record = record.model_copy(update=vars(seen))
        quiet_from_s = max(quiet_from_s, _over_s(record))
        records.append(record)
    return tuple(records)


def _record(strike: Strike, clock_s: float) -> FaultStruck:
    """What was done, not yet what came of it."""
    at_s = strike.fault.at_s if strike.struck_s is None else strike.struck_s - clock_s
    return FaultStruck(
        text=strike.fault.text,
        kind=strike.fault.kind,
        at_s=round(at_s, 3),
        until_s=None if strike.mended_s is None else round(strike.mended_s - clock_s, 3),
        struck=strike.struck_s is not None and not strike.problem,
        problem=strike.problem,
    )


def _over_s(record: FaultStruck) -> float:
    """When nothing was felt of it any more."""
    if not record.struck:
        return 0.0
    if record.until_s is None or record.recovered_in_s is None:
        return math.inf
    return record.until_s + record.recovered_in_s
