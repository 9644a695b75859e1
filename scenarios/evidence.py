"""From what a run saw to the document that it leaves."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from attacks.history import Event, History, Operation
from engine.defences import Build, as_dict
from engine.stores import Choice
from reports.evidence import (
    Build as BuildRecord,
)
from reports.evidence import (
    Cell,
    Claim,
    Environment,
    FaultCase,
    Finding,
    Measure,
    Moment,
    StoreUsed,
    Strength,
    SuiteVerdict,
    Verdict,
)
from reports.evidence import (
    Removal as RemovalRecord,
)
from scenarios.ablation import Removal
from scenarios.blame import guilty
from scenarios.cell import Observation
from scenarios.invariants import Finding as FoundContradiction
from scenarios.invariants.observed import in_round, shown_wallets
from scenarios.judging import Judgement
from scenarios.model import NAMED_SUITES, Scenario
from scenarios.schedules import exploration_of, fault_cases_of
from scenarios.stand import Stand

PACKAGES = (
    "fastapi",
    "httpx",
    "psycopg2-binary",
    "pydantic",
    "redis",
    "sqlalchemy",
    "starlette",
    "uvicorn",
)
NO_FAULTS = ("note", "waiting", "not-waiting", "start", "resume", "restored", "restart")
MOST_FINDINGS = 25
MOST_MOMENTS = 60


def claim_of(scenario: Scenario) -> Claim:
    return Claim(
        name=scenario.name,
        suite=scenario.suite,
        claim=scenario.claim,
        attack=scenario.told("Attack"),
        why=scenario.told("Why"),
        known_as=scenario.told("Known as"),
        holds_when=scenario.holds_when.text,
        canary=scenario.canary,
    )


def build_of(build: Build, isolation_level: str) -> BuildRecord:
    return BuildRecord(
        name=build.name,
        defences=as_dict(build.defences),
        isolation_level=isolation_level,
    )


def removal_of(removal: Removal) -> RemovalRecord:
    return RemovalRecord(
        build=removal.build.name,
        removed=removal.removed,
        breaks=tuple(scenario.name for scenario in removal.breaks),
        keeps=tuple(scenario.name for scenario in removal.keeps),
        covered_in=removal.covered_in,
    )


def predicted(scenario: Scenario, build: Build) -> Verdict:
    """What the build's switches say about the claim."""
    values = as_dict(build.defences)
    if not scenario.applies_when.holds(values):
        return Verdict.NOT_APPLICABLE
    holds = scenario.holds_when.holds(values)
    return Verdict.HELD if holds else Verdict.VIOLATED


def cell_of(  # noqa: PLR0913 - what a cell is made of
    scenario: Scenario,
    build: Build,
    observation: Observation,
    *,
    history_file: str,
    duration_s: float,
    reproduce: str,
    schedule_files: Sequence[str | None] = (),
) -> Cell:
    """`schedule_files`: where the losing schedule of each race was written, None where none is."""
    judgement, history = observation.judgement, observation.history
    shown = _shown_round(judgement, history)
    values = as_dict(build.defences)
    told = guilty(scenario.holds_when, values) or scenario.holds_when.switches
    expected = predicted(scenario, build)
    inapplicable = judgement.verdict is Verdict.NOT_APPLICABLE
    return Cell(
        scenario=scenario.name,
        build=build.name,
        verdict=judgement.verdict,
        predicted=Verdict.NOT_APPLICABLE if inapplicable else expected,
        strength=Strength(
            kind=_kind(scenario, observation),
            rounds=judgement.rounds,
            violated_rounds=judgement.violated_rounds,
            overlapped_rounds=judgement.overlapped_rounds,
            requests=judgement.requests,
        ),
        cause=judgement.cause,
        reasons=judgement.reasons,
        findings=tuple(_finding(f) for f in judgement.findings[:MOST_FINDINGS]),
        timeline=_timeline(observation, shown),
        timeline_round=shown,
        measures=tuple(_measured(measure, history) for measure in scenario.measures),
        explorations=tuple(
            exploration_of(race, schedule_file=file)
            for race, file in zip(observation.races, schedule_files, strict=True)
        ),
        fault_cases=_fault_cases(scenario, observation),
        switches={name: values[name] for name in told},
        history_file=history_file,
        duration_s=round(duration_s, 3),
        reproduce=reproduce,
    )


def _fault_cases(scenario: Scenario, observation: Observation) -> tuple[FaultCase, ...]:
    cases = [case for series in observation.series for case in fault_cases_of(series)]
    if scenario.fault_cases and observation.truth:
        violated = {finding.round for finding in observation.judgement.findings}
        cases += scenario.fault_cases(observation.history, observation.truth, violated)
    return tuple(cases)


def _kind(
    scenario: Scenario, observation: Observation
) -> Literal["exhausted", "bounded", "sampled"]:
    """As weak as the weakest race."""
    if observation.series:
        return "bounded"
    if not observation.races:
        return scenario.strength
    exhausted = all(race.explored.exhausted for race in observation.races)
    return "exhausted" if exhausted else "bounded"


def suites_of(
    scenarios: Sequence[Scenario], builds: Sequence[Build], cells: Sequence[Cell]
) -> tuple[SuiteVerdict, ...]:
    """A suite is as bad as the worst of its claims."""
    names: list[str] = [s for s in NAMED_SUITES if any(x.suite == s for x in scenarios)]
    names += [s for s in dict.fromkeys(x.suite for x in scenarios) if s not in names]
    verdicts = []
    for suite in names:
        claims = {scenario.name for scenario in scenarios if scenario.suite == suite}
        for build in builds:
            own = [c for c in cells if c.build == build.name and c.scenario in claims]
            if own:
                verdicts.append(
                    SuiteVerdict(
                        suite=suite,
                        build=build.name,
                        verdict=_worst(cell.verdict for cell in own),
                        predicted=_worst(cell.predicted for cell in own),
                        named=suite in NAMED_SUITES,
                    )
                )
    return tuple(verdicts)


def environment_of(stand: Stand) -> Environment:
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        cpus=os.cpu_count() or 1,
        commit=commit_here(),
        postgres=_store(stand.postgres.choice, stand.postgres.version),
        redis=_store(stand.redis.choice, stand.redis.version),
        driver=f"psycopg2 {importlib.metadata.version('psycopg2-binary')}",
        packages={name: importlib.metadata.version(name) for name in PACKAGES},
    )


def _store(choice: Choice, version: str) -> StoreUsed:
    return StoreUsed(
        kind=choice.kind, version=version, reason=choice.reason, skipped=choice.skipped
    )


def commit_here() -> str | None:
    git = shutil.which("git")
    root = Path(__file__).parents[1]
    if git is None or not (root / ".git").exists():
        return None
    commit = _git(git, root, "rev-parse", "--short=12", "HEAD")
    return f"{commit}-dirty" if commit and _git(git, root, "status", "--porcelain") else commit


def _git(git: str, root: Path, *words: str) -> str | None:
    done = subprocess.run(
        [git, *words], cwd=root, capture_output=True, text=True, check=False, timeout=10
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    order = (Verdict.VIOLATED, Verdict.UNKNOWN, Verdict.HELD, Verdict.NOT_APPLICABLE)
    return min(verdicts, key=order.index)


def _measured(measure: Callable[[History], Measure], history: History) -> Measure:
    """A figure that cannot be measured is not worth a run."""
    try:
        return measure(history)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return Measure(name=measure.__name__, value=f"not measured: {error!r}")


def _shown_round(judgement: Judgement, history: History) -> int | None:
    if judgement.findings:
        return judgement.findings[0].round
    rounds = [o.round for o in history.operations if o.round is not None]
    return max(rounds, default=None)


def _finding(finding: FoundContradiction) -> Finding:
    return Finding(
        invariant=finding.invariant,
        summary=finding.summary,
        expected=finding.expected,
        observed=finding.observed,
        round=finding.round,
    )


def _timeline(observation: Observation, shown: int | None) -> tuple[Moment, ...]:
    """The shown round, long ones around what the finding points at, and how it ended."""
    history, judgement = observation.history, observation.judgement
    operations = [o for o in history.operations if o.round == shown and shown is not None]
    if not operations:
        return ()
    culprits = set(judgement.findings[0].operations) if judgement.findings else set()
    began_s = operations[0].started_s
    moments = [(o.started_s, _moment(o, began_s, o.id in culprits)) for o in operations]
    moments += [(e.at_s, _happening(e, began_s)) for e in history.events if e.round == shown]
    moments.sort(key=lambda pair: pair[0])
    ended_s = max([o.ended_s for o in operations] + [at_s for at_s, _ in moments])
    end = _in_the_end(observation, shown, ended_s - began_s)
    return (*_excerpt([moment for _, moment in moments]), *end)


def _in_the_end(observation: Observation, shown: int | None, at_s: float) -> tuple[Moment, ...]:
    """What is in the database when all is over, past the API."""
    if observation.truth is None:
        return ()
    balances = in_round(observation.history, observation.truth, shown).truth.balances
    amounts = {wallet: balance.amount_minor for wallet, balance in balances.items()}
    return (
        Moment(
            at_s=at_s,
            until_s=None,
            actor="truth",
            text=f"in the database in the end: {shown_wallets(amounts)}",
            answer="",
            outcome="event",
        ),
    )


def _excerpt(moments: Sequence[Moment]) -> tuple[Moment, ...]:
    if len(moments) <= MOST_MOMENTS:
        return tuple(moments)
    culprit = next((i for i, m in enumerate(moments) if m.culprit), len(moments) - 1)
    first = max(0, min(culprit - MOST_MOMENTS // 2, len(moments) - MOST_MOMENTS))
    return tuple(moments[first : first + MOST_MOMENTS])


def _moment(operation: Operation, began_s: float, culprit: bool) -> Moment:
    return Moment(
        at_s=operation.started_s - began_s,
        until_s=operation.ended_s - began_s,
        actor=operation.actor,
        text=operation.text,
        answer=operation.answer,
        outcome=operation.outcome,
        culprit=culprit,
    )


def _happening(event: Event, began_s: float) -> Moment:
    return Moment(
        at_s=event.at_s - began_s,
        until_s=None if event.until_s is None else event.until_s - began_s,
        actor="lab" if event.kind in NO_FAULTS else "fault",
        text=event.text,
        answer="",
        outcome="event",
    )
