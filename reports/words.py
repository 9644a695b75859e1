"""What a run and its cells say, in plain words that every report shares."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

from reports.ablation import BAD, OPEN, Table, ablation_table
from reports.evidence import (
    Cell,
    Evidence,
    Exploration,
    FaultCase,
    Prediction,
    Strength,
    SuiteVerdict,
    Verdict,
)
from reports.judgement import needs_attention

BUILDS_NAMED_ONE_BY_ONE = 4
OUT = Path("reports/out")


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The result of a run: a title, and a sentence beneath it."""

    title: str
    detail: str
    tone: str
    """"good", "bad" or "open": what colour it deserves."""

    @property
    def sentence(self) -> str:
        return f"{self.title}. {self.detail}"


def headline(evidence: Evidence) -> Headline:
    if table := ablation_table(evidence):
        return _ablated(evidence, table)
    cells = len(evidence.cells)
    detail = f"{count(len(evidence.builds), 'build')}, {count(cells, 'cell')}"
    suites = _suites_in_words(evidence)
    detail = f"{detail}: {suites}." if suites else f"{detail}."
    title, tone = _title(evidence)
    return Headline(title=title, detail=detail, tone=tone)


def _title(evidence: Evidence) -> tuple[str, str]:
    cells, planned = len(evidence.cells), evidence.planned
    bad = needs_attention(evidence)
    unknown = sum(cell.verdict is Verdict.UNKNOWN for cell in bad)
    wrong = len(bad) - unknown
    by_prediction = evidence.judged_by == "prediction"
    if wrong:
        kind = "not as predicted" if by_prediction else "violated"
        more = f", {unknown} unknown" if unknown else ""
        return f"{wrong} of {count(cells, 'cell')} {_are(wrong)} {kind}{more}", "bad"
    if evidence.status != "complete":
        state = "Interrupted" if evidence.status == "interrupted" else "Not finished"
        return f"{state} after {cells} of {count(planned, 'cell')}", "open"
    if unknown:
        return f"{unknown} of {count(cells, 'cell')} {_are(unknown)} unknown", "open"
    if not cells:
        return "Nothing was run", "open"
    return "Every prediction came true" if by_prediction else "Every claim held", "good"


def _ablated(evidence: Evidence, table: Table) -> Headline:
    """A removal that nothing caught comes before anything that a single cell can say."""
    title, tone = _title(evidence)
    missed = sum(row.outcome in BAD for row in table.rows)
    if missed and evidence.status == "complete":
        also = f"; {title[:1].lower()}{title[1:]}" if tone == "bad" else ""
        title, tone = f"{count(missed, 'removal')} {_are(missed)} not caught{also}", "bad"
    elif tone == "good" and any(row.outcome in OPEN for row in table.rows):
        title, tone = "Some removals are undecided", "open"
    elif tone == "good":
        removals = len(table.rows)
        title = f"Each of {removals} removals was caught" if removals > 1 else "It was caught"
    return Headline(title=title, detail=table.sentence, tone=tone)


def _suites_in_words(evidence: Evidence) -> str:
    named = [suite for suite in evidence.suites if suite.named]
    if not named:
        return ""
    if len(evidence.builds) > BUILDS_NAMED_ONE_BY_ONE:
        broken = len({suite.build for suite in named if suite.verdict is Verdict.VIOLATED})
        verb = "breaks" if broken <= 1 else "break"
        return f"{broken or 'none'} of the builds {verb} in a named suite"
    first, *others = [_breaks_in(build.name, named) for build in evidence.builds]
    suites = len({suite.suite for suite in named})
    return ", ".join(
        [f"{first[0]} breaks in {first[1]} of {suites} named suites{first[2]}"]
        + [f"{name} in {broken}{unknown}" for name, broken, unknown in others]
    )


def _breaks_in(build: str, named: list[SuiteVerdict]) -> tuple[str, str, str]:
    """The build, in how many named suites it breaks, and a remark on those that stayed unknown."""
    verdicts = Counter(suite.verdict for suite in named if suite.build == build)
    broken, unknown = verdicts[Verdict.VIOLATED], verdicts[Verdict.UNKNOWN]
    return build, str(broken or "none"), f" ({unknown} unknown)" if unknown else ""


def exit_code_in_words(evidence: Evidence) -> str:
    by_prediction = evidence.judged_by == "prediction"
    good = "every prediction came true" if by_prediction else "every claim held"
    bad = "a prediction did not come true" if by_prediction else "a claim was violated"
    if evidence.ablation:
        good = "the removal of every defence was caught, as predicted"
        bad = "a removal was not caught, or a prediction did not come true"
    meanings = {
        0: good,
        1: bad,
        2: "the command was used wrongly",
        3: "something stayed unknown, and nothing worse was seen",
        4: "the environment could not be started",
    }
    if evidence.exit_code is None:
        return "none: the run did not end by itself"
    return f"{evidence.exit_code}: {meanings.get(evidence.exit_code, 'no exit code of Assay')}"


def strength_in_words(cell: Cell) -> str:
    """The weight of a verdict in a few sentences."""
    strength = cell.strength
    searched = (_explorations_in_words(cell.explorations), faults_in_words(cell.fault_cases))
    if any(searched):
        return " ".join(filter(None, searched))
    if not strength.rounds:
        return "Nothing was run."
    head = {
        "exhausted": f"Exhausted: all {count(strength.rounds, 'schedule')} were run",
        "bounded": f"Bounded: {count(strength.rounds, 'case')}, each tried once",
        "sampled": f"Sampled: {count(strength.rounds, 'round')}",
    }[strength.kind]
    return f"{head}, {_hits(strength)}{_overlap(strength)}.{_chance(cell)}"


def strength_in_brief(cell: Cell) -> str:
    """The same in a few words, to stand beside a badge."""
    strength = cell.strength
    unit = {"sampled": "round", "bounded": "case", "exhausted": "schedule"}[strength.kind]
    if cell.explorations and not cell.fault_cases:
        unit = "schedule"
    if not strength.rounds:
        return "nothing was run"
    if cell.verdict is Verdict.VIOLATED:
        if not strength.violated_rounds:
            return f"violated beside {count(strength.rounds, unit)} that held"
        hits = f"violated in {strength.violated_rounds} of {count(strength.rounds, unit)}"
        return f"{hits}, no race needed" if _no_race_needed(cell) else hits
    return f"{strength.kind}, {count(strength.rounds, unit)}"


def verdict_in_words(cell: Cell) -> str:
    """The verdict with the word for its weight: "held, exhausted", "violated, no race needed"."""
    if cell.verdict is Verdict.HELD and cell.strength.kind != "sampled":
        return f"{cell.verdict.value}, {cell.strength.kind}"
    if cell.verdict is Verdict.VIOLATED and _no_race_needed(cell):
        return f"{cell.verdict.value}, no race needed"
    return cell.verdict.value


def _no_race_needed(cell: Cell) -> bool:
    return any(exploration.no_race_needed for exploration in cell.explorations)


def exploration_in_words(exploration: Exploration) -> str:
    """What was tried, how much of everything that is, and what came out."""
    bound = exploration.preemption_bound
    if exploration.exhausted:
        head = "Every distinguishable order of the statements was tried"
    elif bound is not None:
        head = f"Every order with at most {count(bound, 'preemption')} was tried"
    else:
        head = "Some orders were tried"
    if exploration.random_schedules:
        head += f", and {exploration.random_schedules} at random"
    parts = [f"{head}: {_counts([exploration])}. {_violated_in_words(exploration)}"]
    if exploration.no_race_needed:
        parts.append("One request after the other is violated already: no race is needed.")
    if exploration.reasons:
        parts.append(f"Not exhausted: {'; '.join(exploration.reasons)}.")
    return " ".join(parts)


def prediction_of_anomaly_in_words(prediction: Prediction) -> str:
    """What the statements of one request alone allow, and whether an order showed it."""
    outcome = {
        "proven": "Proven: an order of the statements shows it",
        "refuted": "Refuted: no order of the statements shows it",
        "not tried": "Not tried",
    }[prediction.outcome]
    return f"Predicted {prediction.anomaly}: {prediction.because.rstrip('.')}. {outcome}."


def _counts(explorations: Sequence[Exploration]) -> str:
    explored, pruned, uncontrolled = (
        sum(getattr(exploration, name) for exploration in explorations)
        for name in ("explored", "pruned", "uncontrolled")
    )
    return (
        f"{count(explored, 'schedule')}, {pruned} skipped as equivalent, "
        f"{uncontrolled or 'nothing'} uncontrolled"
    )


def _violated_in_words(exploration: Exploration) -> str:
    if not exploration.violated:
        return "None was violated."
    verb = "was" if exploration.violated == 1 else "were"
    first = exploration.first_violation
    which = f", the first was schedule {first}" if first is not None else ""
    return f"{exploration.violated} {verb} violated{which}."


def _explorations_in_words(explorations: tuple[Exploration, ...]) -> str:
    if len(explorations) == 1:
        return exploration_in_words(explorations[0])
    if not explorations:
        return ""
    exhausted = sum(exploration.exhausted for exploration in explorations)
    how = "all" if exhausted == len(explorations) else exhausted or "none"
    violated = sum(exploration.violated for exploration in explorations) or "none"
    counts = _counts(explorations)
    return f"{len(explorations)} races, {how} of them exhausted: {counts}; {violated} violated."


def named_exploration_in_words(exploration: Exploration) -> str:
    """The same beginning with its race, to tell it from others."""
    race, words = exploration.race, exploration_in_words(exploration)
    return f"{race[:1].upper()}{race[1:]}: {words[:1].lower()}{words[1:]}"


def faults_in_words(cases: tuple[FaultCase, ...]) -> str:
    """How many faults at how many statements, and what came out."""
    if not cases:
        return ""
    points = Counter((case.request, case.step) for case in cases)
    most = max(points.values())
    up_to = "" if min(points.values()) == most else "Up to "
    where = f"{count(most, 'fault')} at each of {count(len(points), 'statement')}"
    violated = sum(case.violated for case in cases) or "none"
    return f"{up_to}{where}: {count(len(cases), 'case')}, {violated} violated."


def _hits(strength: Strength) -> str:
    hits = strength.violated_rounds
    return f"violated in {hits}" if hits else "violated in none"


def _overlap(strength: Strength) -> str:
    if not strength.overlapped_rounds:
        return ""
    return f"; requests were under way at the same time in {strength.overlapped_rounds}"


def _chance(cell: Cell) -> str:
    """The rule of three: no hit in n rounds bounds the chance of one by 3/n (95 % confidence)."""
    if cell.strength.kind != "sampled" or cell.verdict is not Verdict.HELD:
        return ""
    # A round in which no two requests met was no trial of a race.
    rounds = min(cell.strength.overlapped_rounds or cell.strength.rounds, cell.strength.rounds)
    if rounds <= 3:
        return " That is too few rounds to bound the chance of a violation."
    share = ceil(3000 / rounds) / 10
    return (
        f" So the chance of a violation per round, sent in this way to this service, is below "
        f"{share:g} % (3/{rounds}, with 95 % confidence, if rounds are alike and independent)."
    )


def replay_command(run: str, exploration: Exploration, folder: Path | None) -> str:
    """What to type to force the losing schedule again; "" when it was not saved.

    `folder` is the run's, as it is to be typed; without one it is the usual place of that run.
    """
    if not exploration.schedule_file:
        return ""
    file = (folder or OUT / run) / exploration.schedule_file
    return f"assay replay {shlex.quote(file.as_posix())}"


def prediction_in_words(cell: Cell) -> str:
    if cell.as_predicted:
        return "as predicted"
    return f"NOT as predicted: {cell.predicted.shown} ({cell.predicted.value}) was expected"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def duration(seconds: float) -> str:
    """41.2 s below two minutes, then minutes and seconds."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def milliseconds(value: float) -> str:
    """A time with a digit after the point while that still says something."""
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def listing(pairs: Iterable[tuple[str, str]]) -> str:
    """Switches as one types them: locking=none, retry=none."""
    return ", ".join(f"{name}={value}" for name, value in pairs)
