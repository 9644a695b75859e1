"""The evidence of a run: one document, written by the runner, read by every report.

The document is versioned (`EVIDENCE_VERSION`); its JSON schema is `evidence.schema.json` beside
this file, generated from these models and compared with them by a test. Money is in minor units
(cents) and written as a string, because a float build can hold fractions of a cent and even NaN.
Times named `*_s` are seconds; those of operations count from the start of their cell's attack.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

EVIDENCE_VERSION = "1"


class Verdict(StrEnum):
    HELD = "held"
    VIOLATED = "violated"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not applicable"

    @property
    def shown(self) -> str:
        """The word that people are shown: PASS, FAIL, UNKNOWN or N/A."""
        return {"held": "PASS", "violated": "FAIL", "unknown": "UNKNOWN"}.get(self.value, "N/A")


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreUsed(Record):
    """A PostgreSQL or Redis that the run stood on, and why that one."""

    kind: Literal["external", "container", "embedded"]
    version: str
    reason: str
    skipped: tuple[str, ...] = ()


class Environment(Record):
    python: str
    platform: str
    cpus: int
    commit: str | None
    """Commit of the checkout, with "-dirty" when the tree had changes; None outside a checkout."""
    postgres: StoreUsed
    redis: StoreUsed
    driver: str
    packages: dict[str, str]


class Build(Record):
    name: str
    defences: dict[str, str]
    """The effective value of every switch."""
    isolation_level: str


class Claim(Record):
    """What a scenario says: enough to explain a cell to somebody who has never seen the code."""

    name: str
    suite: str
    """A named suite ("double spend") or, for the other claims, the catalogue's group ("money")."""
    claim: str
    attack: str
    why: str
    known_as: str
    holds_when: str
    """The condition over the switches under which the claim must hold, as one reads it."""
    canary: bool = False
    """A canary must be violated in every build: it proves that the harness can see."""


class Moment(Record):
    """Part of a timeline: an operation, or something that was done to the service."""

    at_s: float
    until_s: float | None
    actor: str
    """Client or fault, e.g. "A", "B", "fault"."""
    text: str
    """What was asked, e.g. "transfer 100.00 wallet 1 -> wallet 2"."""
    answer: str
    """What came back, e.g. "201", "no answer (connection reset)", ""."""
    outcome: Literal["ok", "failed", "unknown", "event"]
    culprit: bool = False
    """True where the finding points at this row."""


class Finding(Record):
    """One contradiction between what the service said and what is in the database."""

    invariant: str
    summary: str
    """The cause in one sentence, an argument: what was held, what was done, why that cannot be."""
    expected: str
    observed: str
    round: int | None = None


class Strength(Record):
    """How much a verdict weighs: exhausted, bounded, or sampled with its rounds."""

    kind: Literal["exhausted", "bounded", "sampled"]
    rounds: int
    violated_rounds: int
    overlapped_rounds: int
    requests: int


class Measure(Record):
    """A measured figure that is shown and not judged, e.g. the slowdown without Redis."""

    name: str
    value: str


class SqlStep(Record):
    """One statement in a schedule; ticks count releases and completions in the order seen."""

    number: int
    session: str
    """The request it belongs to: "A", "B", …"""
    sql: str
    parameters: tuple[str | None, ...] = ()
    answer: str = ""
    """What came back, e.g. "balance = 10000", "UPDATE 1", "ERROR 40001: could not serialize …"."""
    effect: Literal["begin", "read", "write", "lock", "commit", "rollback", "error", "other"]
    snapshot: bool = False
    """True where the database transaction takes the snapshot that its later reads go by."""
    began: int
    ended: int
    """Later than `began` + 1 when other sessions moved while this one waited for a lock."""
    waited_for: tuple[str, ...] = ()
    """Requests whose locks it waited for."""
    note: str = ""
    """A fault that struck here, or what to notice."""
    culprit: bool = False
    """True where it went wrong: the step that the argument points at."""


class RacingRequest(Record):
    """One request of a race, as one reads it, and its answer."""

    session: str
    text: str
    answer: str


class Schedule(Record):
    """One order of the statements of racing requests, and how it ended."""

    title: str
    requests: tuple[RacingRequest, ...]
    steps: tuple[SqlStep, ...]
    in_the_end: str
    """What the database held afterwards, e.g. "wallet 1: 0.00, wallet 2: 100.00"."""


class Prediction(Record):
    """An anomaly that the statements of one request, run alone, allow; then forced."""

    anomaly: str
    """E.g. "lost update", "write skew", "deadlock", "partial commit"."""
    because: str
    """The statements that allow it, in a sentence."""
    outcome: Literal["proven", "refuted", "not tried"]


class Exploration(Record):
    """The search over the orders of one race."""

    race: str
    """What raced, e.g. "two payments of the whole balance"."""
    explored: int
    """Schedules that ran to their end and were judged."""
    pruned: int
    """Orders that were skipped because they are equivalent to one that ran."""
    uncontrolled: int
    """Schedules with a wait that the proxy could not see."""
    violated: int
    exhausted: bool
    """Every distinguishable order was tried, and nothing was uncontrolled."""
    preemption_bound: int | None = None
    """When not exhausted: every order with at most this many preemptions was tried."""
    random_schedules: int = 0
    first_violation: int | None = None
    """Number of the first schedule that was violated, from 1."""
    no_race_needed: bool = False
    """A serial order was violated already."""
    reasons: tuple[str, ...] = ()
    """Why it was not exhausted."""
    duration_s: float
    predictions: tuple[Prediction, ...] = ()
    losing: Schedule | None = None
    """The minimal violated schedule."""
    serial: Schedule | None = None
    """One request after the other, for comparison (or as the example when all was held)."""
    schedule_file: str | None = None
    """For `assay replay`, relative to the run's folder."""
    reproduced: str | None = None
    """How often the replay showed it again, e.g. "100 of 100"; None when that was not tried."""


class FaultCase(Record):
    """One fault at one statement of one request, and what became of it."""

    round: int | None
    request: str
    step: int
    """The statement that it struck at, from 1."""
    sql: str
    fault: str
    """E.g. "service killed before", "acknowledgement lost"."""
    client: str
    """What the client was told, e.g. "no answer", "500"."""
    database: str
    """What PostgreSQL says of the database transaction: committed, aborted, or none."""
    retry: str = ""
    """What the same request with the same key was answered afterwards."""
    violated: bool = False


class Cell(Record):
    """One scenario against one build."""

    scenario: str
    build: str
    verdict: Verdict
    predicted: Verdict
    strength: Strength
    cause: str
    """One sentence: why this verdict."""
    reasons: tuple[str, ...] = ()
    """Why a verdict is unknown or not applicable."""
    findings: tuple[Finding, ...] = ()
    timeline: tuple[Moment, ...] = ()
    """The round that is shown: the first violated one, else the last."""
    timeline_round: int | None = None
    measures: tuple[Measure, ...] = ()
    explorations: tuple[Exploration, ...] = ()
    fault_cases: tuple[FaultCase, ...] = ()
    switches: dict[str, str]
    """The switches that matter for this claim, with this build's values."""
    history_file: str
    """JSON lines with every operation, relative to the run's folder."""
    duration_s: float
    reproduce: str
    """The command that runs this cell again."""

    @property
    def as_predicted(self) -> bool:
        return self.verdict == self.predicted


class SuiteVerdict(Record):
    suite: str
    build: str
    verdict: Verdict
    predicted: Verdict
    named: bool
    """True for the six named suites, False for the other groups of claims."""


class Removal(Record):
    """A build of `assay ablate`: a defence removed, or two that cover each other."""

    build: str
    removed: dict[str, str]
    """Each defence that is removed, with the fragile value that it has instead."""
    breaks: tuple[str, ...]
    """The claims that have to be violated without it."""
    keeps: tuple[str, ...] = ()
    """The claims that name it and must hold all the same, because another defence covers for it."""
    covered_in: tuple[str, ...] = ()
    """The builds in which that other defence is removed, too: there a claim has to be violated."""


class Evidence(Record):
    version: Literal["1"] = "1"
    run: str
    command: str
    status: Literal["running", "complete", "interrupted"]
    started_at: datetime
    finished_at: datetime | None = None
    duration_s: float
    seed: int
    exit_code: int | None = None
    judged_by: Literal["prediction", "verdict"] = "verdict"
    """What makes a cell bad: a wrong prediction (`compare`, `ablate`) or a violation (`verify`)."""
    target: str
    environment: Environment
    builds: tuple[Build, ...]
    claims: tuple[Claim, ...]
    cells: tuple[Cell, ...] = ()
    suites: tuple[SuiteVerdict, ...] = ()
    ablation: tuple[Removal, ...] = ()
    """What `assay ablate` removed: only these claims ran, and only against these builds."""

    @property
    def planned(self) -> int:
        """How many cells there are when the run gets to its end."""
        if self.ablation:
            return sum(len(removal.breaks) + len(removal.keeps) for removal in self.ablation)
        return len(self.builds) * len(self.claims)
