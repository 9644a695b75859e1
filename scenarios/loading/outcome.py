"""From what was seen of a load to the document that it leaves."""

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
from scenarios.loading.plan import LoadPlan
from scenarios.loading.recovery import Answers, felt


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
            "faults": faults_of(course.strikes.all, figures),
        }
    )


def faults_of(strikes: Sequence[Strike], figures: Figures) -> tuple[FaultStruck, ...]:
    """In the order in which they struck; each is measured from where the one before it was over."""
    quiet_from_s, records = 0.0, []
    answers = figures.answers() if strikes else None
    ends_s = answers.due_s[-1] if answers and answers.due_s else 0.0
    for strike in strikes:
        record = _fault(strike, figures.clock_s, answers, ends_s, quiet_from_s)
        over_s = record.at_s if record.until_s is None else record.until_s
        quiet_from_s = over_s + (record.recovered_in_s or 0.0)
        records.append(record)
    return tuple(records)


def _fault(
    strike: Strike, clock_s: float, answers: Answers | None, ends_s: float, quiet_from_s: float
) -> FaultStruck:
    fault = strike.fault
    struck = strike.struck_s is not None and not strike.problem
    at_s = fault.at_s if strike.struck_s is None else strike.struck_s - clock_s
    record = FaultStruck(
        text=fault.text,
        kind=fault.kind,
        at_s=round(at_s, 3),
        until_s=None if strike.mended_s is None else round(strike.mended_s - clock_s, 3),
        struck=struck,
        problem=strike.problem,
    )
    if not struck or record.until_s is None or answers is None:
        return record
    seen = felt(
        answers, at_s=at_s, until_s=record.until_s, ends_s=ends_s, quiet_from_s=quiet_from_s
    )
    return record.model_copy(
        update={
            "before_per_s": seen.before_per_s,
            "lowest_per_s": seen.lowest_per_s,
            "silent_s": seen.silent_s,
            "recovered_in_s": seen.recovered_in_s,
        }
    )
