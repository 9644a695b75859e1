"""What a load leaves: one document, written when it is over, read by its reports.

The document is versioned (`LOAD_VERSION`); its JSON schema is `load.schema.json` beside this file,
generated from these models and compared with them by a test. Money is in minor units. Times named
`*_s` are seconds since the clock started, which is when the warm-up was over: what came before
has negative ones and is in no figure, but in the audit. Latencies are measured from when a
request was due by its schedule (from when it was sent, where there is none), so that a stall of
the service is not hidden by clients that waited for it.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from reports.evidence import Build, Environment, Record, Verdict
from reports.quiet import is_busy

LOAD_VERSION = "1"
CLOSED_LOOP = 0.0


class LoadPlan(Record):
    """What was asked for."""

    users: int
    wallets: int
    tps: float
    """Requests due a second (open loop); 0: each user as fast as answers come (closed loop)."""
    profile: str
    mix: str
    warm_up_s: float
    duration_s: float
    engine_workers: int
    locust_processes: int
    faults: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()


class Latencies(Record):
    """In milliseconds; None where nothing was answered."""

    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None


class RequestRow(Record):
    """Requests of one name after the warm-up. A failure is no answer, a 5xx, or a 4xx of a
    wrong request (401, 403, 404, 405, 429); `unsent` are turns that were due and came to nobody."""

    name: str
    requests: int
    per_s: float
    latencies: Latencies
    refused: int
    """Answered with another 4xx: an answer like any other."""
    failures: int


class Series(Record):
    """A second each, from the first to the last, warm-up included; all of the same length."""

    at_s: tuple[float, ...] = ()
    """Where the second begins."""
    answered: tuple[int, ...] = ()
    """Done or refused, in the second in which the answer came; failures are counted apart."""
    payments: tuple[int, ...] = ()
    """Acknowledged, each counted once however often it was sent."""
    refused: tuple[int, ...] = ()
    failures: tuple[int, ...] = ()
    p50_ms: tuple[float | None, ...] = ()
    """Of the requests that were due in this second."""
    p95_ms: tuple[float | None, ...] = ()
    p99_ms: tuple[float | None, ...] = ()


class Samples(Record):
    """Now and then, what the harness saw of the processes; all of the same length.

    None where it could not look: a store that is down, or that runs elsewhere.
    """

    at_s: tuple[float, ...] = ()
    lock_waits: tuple[int | None, ...] = ()
    """Sessions that wait for a lock of another one."""
    locks_not_granted: tuple[int | None, ...] = ()
    connections: tuple[int | None, ...] = ()
    at_work: tuple[int | None, ...] = ()
    """Connections that are not idle."""
    cpu_percent: dict[str, tuple[float | None, ...]] = Field(default_factory=dict)
    """Of one core, by process: engine, PostgreSQL, Redis, Locust, Assay itself."""
    engine_mb: tuple[float | None, ...] = ()
    """Resident memory of the engine's processes together."""


class SoFar(Record):
    """The invariants, judged while the load went on."""

    at_s: float
    acknowledged: int
    checked: int
    violations: tuple[str, ...] = ()
    lasted_s: float


class FaultStruck(Record):
    """A fault, and how long it was felt. Throughput in answered requests a second."""

    text: str
    """As it was asked for, such as redis-down@20s+10s."""
    kind: str
    at_s: float
    until_s: float | None
    """When what was broken was there again."""
    struck: bool
    problem: str = ""
    """Why it did not strike, or why what it broke did not come back."""
    before_per_s: float | None = None
    lowest_per_s: float | None = None
    """In the worst second between the strike and the recovery."""
    silent_s: float | None = None
    """The longest time without an answer between the strike and the recovery."""
    recovered_in_s: float | None = None
    """From when what was broken was there again; None: not before the end."""

    @property
    def is_not_back(self) -> bool:
        """It was mended, and until the end nobody saw the throughput that is usual."""
        return self.struck and self.until_s is not None and self.recovered_in_s is None

    @property
    def lowest_share(self) -> float | None:
        if not self.before_per_s or self.lowest_per_s is None:
            return None
        return self.lowest_per_s / self.before_per_s


class AuditCheck(Record):
    claim: str
    verdict: Verdict
    detail: str = ""


class ThresholdCheck(Record):
    text: str
    met: bool | None
    """None: there was nothing to judge it by."""
    observed: str


class Losses(Record):
    """What is wrong in the database, in figures; None where it cannot be known."""

    invented_minor: float | None = None
    """In the customers' wallets, more than was ever paid in (negative: less)."""
    payments_without_record: int | None = None
    """Acknowledged, and nowhere in the database."""
    records_without_payment: int | None = None
    """Recorded, though no client asked for it, or a second time."""
    wallets_overdrawn: int | None = None


class LoadRun(Record):
    """One build under the load."""

    build: Build
    verdict: Verdict
    partial: bool
    """Operations may be missing from the history: the audit judged what there was."""
    doubts: tuple[str, ...] = ()
    """Why nothing can be said for sure."""
    histories: str
    """The folder of its histories, in the folder of the run."""
    locust_report: str | None = None
    """Locust's own page, in the folder of the run."""
    lasted_s: float = 0.0
    """From the end of the warm-up to the last answer."""
    payments: int = 0
    """Movements of money that were acknowledged, each once; with those of the warm-up."""
    payments_per_s: float = 0.0
    """Of those that were due after the warm-up."""
    rows: tuple[RequestRow, ...] = ()
    """One a name, then all together."""
    series: Series = Series()
    samples: Samples = Samples()
    so_far: tuple[SoFar, ...] = ()
    faults: tuple[FaultStruck, ...] = ()
    checks: tuple[AuditCheck, ...] = ()
    audited_in_s: float = 0.0
    thresholds: tuple[ThresholdCheck, ...] = ()
    stopped_by: str = ""
    """The threshold that was missed on the way and ended the load."""
    losses: Losses = Losses()

    @property
    def totals(self) -> RequestRow | None:
        return self.rows[-1] if self.rows else None


class LoadDocument(Record):
    version: Literal["1"] = "1"
    run: str
    command: str
    status: Literal["complete", "interrupted"]
    started_at: datetime
    duration_s: float
    seed: int
    exit_code: int
    verdict: Verdict
    conclusion: str
    """One sentence."""
    plan: LoadPlan
    environment: Environment
    load_before: float | None = None
    """Processes that wanted to run in the minute before; None: nobody looked."""
    runs: tuple[LoadRun, ...]
    """The build under load; then the one that it is compared with, if any."""

    @property
    def busy(self) -> bool:
        """Whether others were at work on the machine already: it would have answered sooner."""
        return is_busy(self.load_before or 0.0, self.environment.cpus)
