"""What a load did, in numbers: how many requests, how fast, how they ended. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from rich.table import Table

from attacks.history import Operation

TOTAL = "all"
PERCENTILES = (0.50, 0.95, 0.99)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Requests of one kind. A refusal is an answer; a failure is a 5xx or no answer at all."""

    name: str
    requests: int
    per_s: float
    latencies_ms: tuple[float, ...]
    """At each of `PERCENTILES`."""
    refused: int
    failures: int


@dataclass(frozen=True, kw_only=True)
class Tally:
    rows: tuple[Row, ...] = ()
    """One a kind of request, then all together."""
    lasted_s: float = 0.0
    """From the first request to the last answer."""
    payments_per_s: float = 0.0
    """Acknowledged, each counted once however often it was sent."""


def tally(operations: Sequence[Operation]) -> Tally:
    """Of one process: its operations share a clock."""
    if not operations:
        return Tally()
    lasted_s = max(o.ended_s for o in operations) - min(o.started_s for o in operations)
    names = sorted({o.name for o in operations})
    rows = [_row(n, [o for o in operations if o.name == n], lasted_s) for n in names]
    paid = {o.key for o in operations if o.name == "transfer" and o.outcome == "ok"}
    return Tally(
        rows=(*rows, _row(TOTAL, operations, lasted_s)),
        lasted_s=lasted_s,
        payments_per_s=_rate(len(paid), lasted_s),
    )


def _row(name: str, operations: Sequence[Operation], lasted_s: float) -> Row:
    durations_ms = sorted(o.duration_s * 1000 for o in operations)
    refused = sum(o.status is not None and 400 <= o.status < 500 for o in operations)
    return Row(
        name=name,
        requests=len(operations),
        per_s=_rate(len(operations), lasted_s),
        latencies_ms=tuple(percentile(durations_ms, share) for share in PERCENTILES),
        refused=refused,
        failures=sum(o.outcome != "ok" for o in operations) - refused,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share does not exceed (nearest rank)."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def _rate(how_many: int, lasted_s: float) -> float:
    return how_many / lasted_s if lasted_s else 0.0


def table_of(numbers: Tally) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("request")
    latencies = [f"p{share * 100:g} ms" for share in PERCENTILES]
    for heading in ("requests", "per second", *latencies, "refused", "failures"):
        table.add_column(heading, justify="right")
    for row in numbers.rows:
        table.add_row(
            row.name,
            str(row.requests),
            f"{row.per_s:.1f}",
            *(f"{latency_ms:.0f}" for latency_ms in row.latencies_ms),
            str(row.refused),
            str(row.failures),
        )
    return table
