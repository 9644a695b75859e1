"""From a history and ground truth to a verdict. Pure: the same in gives the same out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from attacks.history import SETUP, History
from reports.evidence import Verdict
from reports.words import count
from scenarios.invariants import Finding, Invariant, Observed, balances_are_explained, by_round
from scenarios.invariants.observed import in_round
from scenarios.model import Requirement, Scenario
from scenarios.racing import Race
from scenarios.requirements import overlapped_rounds
from scenarios.striking import Series
from scenarios.truth import GroundTruth

NO_RACE_NEEDED = "no race needed: it happens to requests one after the other"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict with its weight and its reasons."""

    verdict: Verdict
    cause: str
    reasons: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    rounds: int = 0
    violated_rounds: int = 0
    overlapped_rounds: int = 0
    requests: int = 0
    noun: str = "round"
    """What its rounds are: repetitions, schedules that a search forced, cases of a fault."""
    no_race_needed: bool = False


def judge(  # noqa: PLR0913 - everything that a verdict rests on
    scenario: Scenario,
    history: History,
    truth: GroundTruth | None,
    *,
    failure: str | None = None,
    races: Sequence[Race] = (),
    series: Sequence[Series] = (),
) -> Judgement:
    """Judge each round by every invariant; the worst wins: violated, unknown, held.

    `failure` says why the attack or the harness did not get to its end. Without ground truth
    nothing can be judged. The schedules of `races` and the cases of `series` were judged when they
    were over, because the database is put back after each.
    """
    if truth is None:
        return Judgement(
            verdict=Verdict.UNKNOWN,
            cause=failure or "There is no ground truth.",
            reasons=(failure or "ground truth could not be read",),
            requests=len(history.operations),
        )
    rounds = by_round(history, truth)
    findings, crashes = _apply(scenario.invariants, rounds)
    searched = bool(races or series)
    rest = _not_searched(history, races, series)
    doubts = (
        *_doubts_of_search(races, series),
        *_doubts(scenario, rest, searched=searched),
    )
    reasons = (*([failure] if failure else []), *crashes, *doubts, *_control(history, truth))
    judged = Judgement(
        verdict=Verdict.HELD,
        cause="",
        reasons=reasons,
        findings=findings,
        rounds=len(rounds),
        violated_rounds=len({finding.round for finding in findings}),
        overlapped_rounds=overlapped_rounds(history),
        requests=sum(len(observed.operations) for observed in rounds),
    )
    return _concluded(_with_search(judged, races, series) if searched else judged)


def _with_search(judged: Judgement, races: Sequence[Race], series: Sequence[Series]) -> Judgement:
    """Schedules and cases count as rounds: each begins from the same state and stands alone."""
    cases = [case for one in series for case in one.cases]
    outcomes = [race.lost for race in races if race.lost] + [case.outcome for case in cases]
    return replace(
        judged,
        findings=tuple(f for outcome in outcomes for f in outcome.findings) + judged.findings,
        rounds=sum(race.explored.explored for race in races) + len(cases),
        violated_rounds=sum(race.explored.violated for race in races)
        + sum(bool(case.outcome.findings) for case in cases),
        overlapped_rounds=sum(race.explored.overlapped for race in races),
        requests=judged.requests
        + sum(race.requests for race in races)
        + sum(len(case.outcome.operations) for case in cases),
        noun="schedule" if races else "case",
        no_race_needed=any(race.explored.no_race_needed for race in races),
    )


def _not_searched(history: History, races: Sequence[Race], series: Sequence[Series]) -> History:
    """What was sent once, and not again and again from the same beginning."""
    searched = {race.round for race in races} | {one.round for one in series}
    return replace(
        history, operations=tuple(o for o in history.operations if o.round not in searched)
    )


def _doubts_of_search(races: Sequence[Race], series: Sequence[Series]) -> tuple[str, ...]:
    doubts = [(race.name, race.explored.vacuous) for race in races]
    doubts += [(one.name, one.vacuous) for one in series]
    return tuple(f"{name}: {doubt}" for name, doubt in doubts if doubt)


def not_applicable(reason: str) -> Judgement:
    return Judgement(verdict=Verdict.NOT_APPLICABLE, cause=reason, reasons=(reason,))


def _concluded(judged: Judgement) -> Judgement:
    if judged.findings:
        serial = judged.no_race_needed or (judged.noun == "round" and judged.overlapped_rounds == 0)
        return replace(
            judged,
            verdict=Verdict.VIOLATED,
            cause=judged.findings[0].summary,
            reasons=(NO_RACE_NEEDED, *judged.reasons) if serial else judged.reasons,
        )
    if judged.reasons:
        cause = f"Nothing can be said: {judged.reasons[0]}."
        return replace(judged, verdict=Verdict.UNKNOWN, cause=cause)
    rounds, requests = count(judged.rounds, judged.noun), count(judged.requests, "request")
    cause = f"No contradiction in {rounds} with {requests}."
    return replace(judged, verdict=Verdict.HELD, cause=cause)


def _apply(
    invariants: Sequence[Invariant], rounds: Sequence[Observed]
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    findings: list[Finding] = []
    crashes: list[str] = []
    # The most telling invariant comes first in a scenario, so its findings do too.
    for invariant in invariants:
        for observed in rounds:
            try:
                findings += invariant(observed)
            except Exception as error:  # noqa: BLE001 - a judge that crashes has said nothing
                name = getattr(invariant, "__qualname__", str(invariant))
                crashes.append(f"the judge {name} crashed in round {observed.round}: {error!r}")
    return tuple(findings), tuple(crashes)


def _doubts(scenario: Scenario, history: History, *, searched: bool) -> tuple[str, ...]:
    """Why a history without findings would prove nothing."""
    doubts = [reason for needed in scenario.requires if (reason := _missing(needed, history))]
    attacked = [o for o in history.operations if o.round is not None and o.actor != SETUP]
    # An attack that only searches leaves nothing here.
    if (attacked or scenario.requires or not searched) and not any(
        operation.status is not None for operation in attacked
    ):
        doubts.append("no request of the attack was answered")
    return tuple(doubts)


def _missing(needed: Requirement, history: History) -> str | None:
    try:
        return needed(history)
    except Exception as error:  # noqa: BLE001 - as a judge that crashes
        name = getattr(needed, "__qualname__", str(needed))
        return f"the requirement {name} crashed: {error!r}"


def _control(history: History, truth: GroundTruth) -> tuple[str, ...]:
    """The plain money path has to work before and after, or the service is simply broken."""
    control = in_round(history, truth, None)
    payments = [o for o in control.operations if o.name == "transfer"]
    if len(payments) < 2:
        return ("the control payments before and after the attack were not both made",)
    failed = next((o for o in control.operations if o.outcome != "ok"), None)
    if failed:
        return (f"a control operation failed: {failed.text} was answered {failed.answer}",)
    if balances_are_explained(control):
        return ("the control payments are acknowledged but not in the database",)
    return ()
