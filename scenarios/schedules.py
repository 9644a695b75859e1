"""From what a search found to what the evidence says of it."""

from collections.abc import Sequence
from typing import Literal

from attacks.history import Operation
from attacks.http.sender import actor_name
from attacks.postgres.explorer.exploring import Explored, Tried
from attacks.postgres.explorer.run import Run, Taken
from attacks.postgres.grammar import parse
from reports.evidence import Exploration, FaultCase, Prediction, RacingRequest, Schedule, SqlStep
from scenarios.ground import Outcome
from scenarios.invariants.observed import shown_wallets
from scenarios.racing import Race
from scenarios.striking import AGAIN, Case, Series

ROWS_SHOWN = 3


def exploration_of(race: Race, *, schedule_file: str | None) -> Exploration:
    explored = race.explored
    return Exploration(
        race=race.name,
        explored=explored.explored,
        pruned=explored.pruned,
        uncontrolled=explored.uncontrolled,
        violated=explored.violated,
        exhausted=explored.exhausted,
        preemption_bound=explored.preemption_bound,
        random_schedules=explored.random_schedules,
        first_violation=explored.first_violation,
        no_race_needed=explored.no_race_needed,
        reasons=tuple(explored.reasons),
        duration_s=round(explored.duration_s, 3),
        predictions=_predictions(explored),
        losing=_schedule(explored.losing) if explored.losing else None,
        serial=_schedule(explored.serial) if explored.serial else None,
        schedule_file=schedule_file,
        reproduced=_reproduced(explored.reproduced),
    )


def _predictions(explored: Explored) -> tuple[Prediction, ...]:
    """Each anomaly once, also when several orders would show it."""
    shown: dict[tuple[str, str], bool] = {}
    for prediction, proven in explored.predictions:
        what = (prediction.anomaly, prediction.because)
        shown[what] = shown.get(what, False) or proven
    return tuple(
        Prediction(anomaly=anomaly, because=why, outcome="proven" if proven else "refuted")
        for (anomaly, why), proven in shown.items()
    )


def _reproduced(counts: tuple[int, int] | None) -> str | None:
    return f"{counts[0]} of {counts[1]}" if counts else None


def fault_cases_of(series: Series) -> tuple[FaultCase, ...]:
    return tuple(_fault_case(series, case) for case in series.cases)


def _fault_case(series: Series, case: Case) -> FaultCase:
    first = [o for o in case.outcome.operations if o.actor == "A"]
    again = [o for o in case.outcome.operations if o.actor == AGAIN]
    return FaultCase(
        round=series.round,
        request=case.request,
        step=case.point,
        sql=case.struck.step.sql if case.struck else "",
        fault=case.fault,
        client=first[0].answer if first else "no answer",
        database=case.fate,
        retry=again[0].answer if again else "",
        violated=bool(case.outcome.findings),
    )


def _schedule(tried: Tried) -> Schedule:
    outcome: Outcome = tried.verdict
    culprit = _culprit(tried.run) if tried.violations else None
    balances = {w: b.amount_minor for w, b in outcome.observed.truth.balances.items()}
    return Schedule(
        title="".join(actor_name(racer) for racer in tried.run.order),
        requests=tuple(_racing(operation) for operation in outcome.operations),
        steps=tuple(
            _step(number, taken, culprit=taken is culprit)
            for number, taken in enumerate(_told(tried.run), start=1)
        ),
        in_the_end=shown_wallets(balances),
    )


def _racing(operation: Operation) -> RacingRequest:
    return RacingRequest(session=operation.actor, text=operation.text, answer=operation.answer)


def _told(run: Run) -> Sequence[Taken]:
    """What is worth reading: the steps that were parked, and how transactions began and ended."""
    return [taken for taken in run.taken if taken.choice is not None or _boundary(taken)]


def _boundary(taken: Taken) -> bool:
    return bool(set(parse(taken.step.sql).kinds) & {"begin", "commit", "rollback"})


def _step(number: int, taken: Taken, *, culprit: bool) -> SqlStep:
    return SqlStep(
        number=number,
        session=actor_name(taken.racer),
        sql=taken.step.sql,
        parameters=taken.step.parameters,
        answer=_answer(taken),
        effect=_effect(taken),
        snapshot=taken.footprint.takes_snapshot,
        began=taken.began,
        ended=taken.ended,
        waited_for=tuple(actor_name(racer) for racer in taken.waited_for),
        culprit=culprit,
    )


def _answer(taken: Taken) -> str:
    reply = taken.reply
    if reply.lost:
        return "the connection was lost"
    if reply.sqlstate:
        return f"ERROR {reply.sqlstate}: {reply.message}"
    if reply.columns and reply.rows:
        rows = [
            ", ".join(f"{c} = {'NULL' if v is None else v}" for c, v in pairs)
            for pairs in (
                list(zip(reply.columns, row, strict=False)) for row in reply.rows[:ROWS_SHOWN]
            )
        ]
        more = reply.row_count - len(rows)
        return "; ".join(rows) + (f"; {more} more rows" if more > 0 else "")
    return reply.tag or ""


Effect = Literal["begin", "read", "write", "lock", "commit", "rollback", "error", "other"]
CONTROL: tuple[Effect, ...] = ("begin", "rollback", "commit")


def _effect(taken: Taken) -> Effect:
    kinds = set(parse(taken.step.sql).kinds)
    if taken.reply.sqlstate or taken.reply.lost:
        return "error"
    for kind in CONTROL:
        if kind in kinds:
            answered = (taken.reply.tag or "").lower()
            return "rollback" if kind == "commit" and answered == "rollback" else kind
    parsed = parse(taken.step.sql)
    if kinds & {"insert", "update", "delete", "merge", "copy"}:
        return "write"
    if parsed.locks_rows:
        return "lock"
    return "read" if "select" in kinds else "other"


def _culprit(run: Run) -> Taken | None:
    """The first write by somebody whose view of what it writes was no longer true.

    Somebody else committed to a relation after this racer had last read or locked it. Without such
    a write: the last commit of the schedule.
    """
    read_at: dict[tuple[int, str], int] = {}
    published: list[tuple[int, int, frozenset[str]]] = []
    for taken in sorted(run.taken, key=lambda t: t.ended):
        relied = {r: read_at.get((taken.racer, r)) for r in taken.footprint.writes}
        for relation, at in relied.items():
            if at is not None and any(
                racer != taken.racer and tick > at and relation in relations
                for racer, tick, relations in published
            ):
                return taken
        for relation in taken.footprint.reads - taken.footprint.writes:
            read_at[taken.racer, relation] = taken.ended
        if taken.footprint.committed_writes:
            published.append((taken.racer, taken.ended, taken.footprint.committed_writes))
    commits = [taken for taken in run.taken if taken.footprint.committed_writes]
    return commits[-1] if commits else None
