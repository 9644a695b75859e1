"""A load as one HTML page: no network, no fonts to load, readable without JavaScript."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reports.line_chart import (
    Band,
    Line,
    Scale,
    Tick,
    TimeAxis,
    Values,
    band_of,
    line_of,
    scale_of,
)
from reports.load import LoadDocument, LoadRun, SoFar
from reports.load_words import (
    NEVER_CHECKED,
    felt_in_words,
    machine_in_words,
    missing_money,
    money,
    plan_in_words,
    so_far_in_words,
)
from reports.page import SwitchRow, switch_rows
from reports.rendering import rendered
from reports.words import duration, moment

UNKNOWN = "unknown"
TONES = {"PASS": "good", "FAIL": "bad"}
Lines = Callable[[LoadRun], tuple[tuple[Values, ...], Sequence[float]]]
"""What a panel draws of a run, and the moments of its values."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What a panel is about."""

    title: str
    unit: str
    lines: Lines
    spread: bool = False
    """Its values may be so far apart that a logarithmic scale is needed."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    title: str
    unit: str
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    logarithmic: bool


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One look of the judge at the database."""

    at: float
    violated: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class RunView:
    run: LoadRun
    anchor: str
    panels: tuple[Panel, ...]
    ticks: tuple[Tick, ...]
    bands: tuple[Band, ...]
    faults: tuple[Band, ...]
    marks: tuple[Mark, ...]
    so_far: str
    """What the invariants said last."""
    missing: str


@dataclass(frozen=True, kw_only=True)
class LoadPage:
    """What the template lays out; `columns`, `switches` and `many` are for the table of builds."""

    document: LoadDocument
    tone: str
    facts: tuple[tuple[str, str], ...]
    runs: tuple[RunView, ...]
    beside: tuple[tuple[str, tuple[str, ...]], ...]
    """Rows of the two builds beside each other; none when there is only one."""
    columns: tuple[str, ...]
    switches: tuple[SwitchRow, ...]
    many: bool = False


def _throughput(run: LoadRun) -> tuple[tuple[Values, ...], Sequence[float]]:
    series = run.series
    lines = (
        Values(name="answered", values=series.answered),
        Values(name="payments", values=series.payments),
    )
    return lines, series.at_s


def _latencies(run: LoadRun) -> tuple[tuple[Values, ...], Sequence[float]]:
    series = run.series
    each = (("p50", series.p50_ms), ("p95", series.p95_ms), ("p99", series.p99_ms))
    return tuple(Values(name=name, values=values) for name, values in each), series.at_s


def _errors(run: LoadRun) -> tuple[tuple[Values, ...], Sequence[float]]:
    series = run.series
    lines = (
        Values(name="failures", values=series.failures),
        Values(name="refused", values=series.refused),
    )
    return lines, series.at_s


def _locks(run: LoadRun) -> tuple[tuple[Values, ...], Sequence[float]]:
    samples = run.samples
    lines = (
        Values(name="waiting for a lock", values=samples.lock_waits),
        Values(name="at work", values=samples.at_work),
        Values(name="connections", values=samples.connections),
    )
    return lines, samples.at_s


def _processors(run: LoadRun) -> tuple[tuple[Values, ...], Sequence[float]]:
    samples = run.samples
    each = samples.cpu_percent.items()
    return tuple(Values(name=name, values=values) for name, values in each), samples.at_s


def _memory(run: LoadRun) -> tuple[tuple[Values, ...], Sequence[float]]:
    samples = run.samples
    return (Values(name="engine", values=samples.engine_mb),), samples.at_s


DRAWN = (
    Drawn(title="Throughput", unit="a second", lines=_throughput),
    Drawn(title="Latency from the intended start", unit="ms", lines=_latencies, spread=True),
    Drawn(title="Errors", unit="a second", lines=_errors),
    Drawn(title="Sessions of PostgreSQL", unit="sessions", lines=_locks),
    Drawn(title="Processor time", unit="% of a core", lines=_processors),
    Drawn(title="Resident memory", unit="MB", lines=_memory),
)


def render_load_html(document: LoadDocument) -> str:
    """The page as text. Everything from the document is escaped: services choose part of it."""
    return rendered(
        "load.html",
        page=lay_out_load(document),
        evidence=document,
        felt_in_words=felt_in_words,
    )


def lay_out_load(document: LoadDocument) -> LoadPage:
    runs = document.runs
    axis = _axis(runs)
    # The same scale for both: that is what makes them comparable at a glance.
    scales = [
        scale_of([v for run in runs for v in drawn.lines(run)[0]], may_be_logarithmic=drawn.spread)
        for drawn in DRAWN
    ]
    builds = tuple(run.build for run in runs)
    return LoadPage(
        document=document,
        tone=TONES.get(document.verdict.shown, "open"),
        facts=_facts(document),
        runs=tuple(_run_view(run, f"run-{n}", axis, scales) for n, run in enumerate(runs)),
        beside=_beside(runs) if len(runs) > 1 else (),
        columns=tuple(build.name for build in builds),
        switches=switch_rows(builds),
    )


def _facts(document: LoadDocument) -> tuple[tuple[str, str], ...]:
    return (
        ("Started", moment(document.started_at)),
        ("Took", duration(document.duration_s)),
        ("Machine", machine_in_words(document)),
        ("Exit code", str(document.exit_code)),
        ("Load", plan_in_words(document)),
    )


def _axis(runs: Iterable[LoadRun]) -> TimeAxis:
    seen = [at_s for run in runs for at_s in (*run.series.at_s[:1], *run.series.at_s[-1:])]
    return TimeAxis(first_s=min(seen, default=0.0), last_s=max(seen, default=1.0))


def _run_view(run: LoadRun, anchor: str, axis: TimeAxis, scales: Sequence[Scale]) -> RunView:
    panels = []
    for drawn, scale in zip(DRAWN, scales, strict=True):
        lines, at_s = drawn.lines(run)
        panels.append(
            Panel(
                title=drawn.title,
                unit=drawn.unit,
                lines=tuple(line_of(line, at_s, axis, scale) for line in lines),
                ticks=scale.ticks,
                logarithmic=scale.logarithmic,
            )
        )
    warm_up = [band_of(axis.first_s, 0.0, "warm-up", axis)] if axis.first_s < 0 else []
    return RunView(
        run=run,
        anchor=anchor,
        panels=tuple(panels),
        ticks=axis.ticks,
        bands=tuple(warm_up),
        faults=tuple(
            band_of(f.at_s, f.at_s if f.until_s is None else f.until_s, f.text, axis)
            for f in run.faults
            if f.struck
        ),
        marks=tuple(_mark(j, axis) for j in run.so_far if j.checked or j.violations),
        so_far=_said_last(run.so_far),
        missing=missing_money(run.losses),
    )


def _said_last(so_far: Sequence[SoFar]) -> str:
    if not so_far:
        return ""
    last = so_far[-1]
    return so_far_in_words(last) if last.checked or last.violations else NEVER_CHECKED


def _mark(judged: SoFar, axis: TimeAxis) -> Mark:
    said = so_far_in_words(judged)
    return Mark(
        at=round(axis.percent(judged.at_s), 2),
        violated=bool(judged.violations),
        text=f"{judged.at_s:.0f} s: {said}",
    )


def _beside(runs: Sequence[LoadRun]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    rows: list[tuple[str, Callable[[LoadRun], str]]] = [
        ("Audit", lambda run: run.verdict.shown),
        ("Acknowledged payments, warm-up included", lambda run: f"{run.payments:,}"),
        ("Payments a second after the warm-up", lambda run: f"{run.payments_per_s:.1f}"),
        (
            "p95 of all requests",
            lambda run: _ms(run.totals.latencies.p95_ms if run.totals else None),
        ),
        ("Failures", lambda run: f"{run.totals.failures:,}" if run.totals else UNKNOWN),
        ("More in wallets than paid in", lambda run: _money(run.losses.invented_minor)),
        ("Payments without a record", lambda run: _number(run.losses.payments_without_record)),
        (
            "Recorded more often than asked for",
            lambda run: _number(run.losses.records_without_payment),
        ),
        ("Wallets overdrawn", lambda run: _number(run.losses.wallets_overdrawn)),
    ]
    return tuple((name, tuple(said(run) for run in runs)) for name, said in rows)


def _money(minor: float | None) -> str:
    return UNKNOWN if minor is None else money(minor)


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _ms(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.1f} ms"
