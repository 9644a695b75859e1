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
