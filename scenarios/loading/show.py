"""What a load looks like in a console: live in a terminal, else a plain line now and then."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from reports.evidence import Verdict
from reports.load import Latencies, LoadRun
from reports.load_words import (
    NOTHING_CHECKED,
    felt_in_words,
    missing_money,
    payments_in_words,
)
from reports.store import RunFolder
from scenarios.console import COLOURS, show_checks, show_doubts
from scenarios.loading.load import Loaded
from scenarios.loading.watching import LoadWatcher, Moment

PLAIN_EVERY_S = 5.0
NOTHING = "-"


@contextmanager
def watching_load(console: Console) -> Iterator[LoadWatcher]:
    """A bar with the figures of the last seconds; without a terminal a line every few seconds."""
    progress = Progress(
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    told = _Told()
    with progress:
        task = progress.add_task("", total=None)

        def moment(now: Moment) -> None:
            progress.update(
                task,
                description=in_words(now),
                completed=max(0.0, now.at_s),
                total=now.duration_s,
            )
            new = told.is_new(now)
            if new or (not console.is_terminal and told.is_due(now)):
                console.print(Text(in_words(now), "red" if new else ""))

        yield LoadWatcher(tell=lambda line: console.print(Text(line)), moment=moment)


class _Told:
    """What was printed last: a violation is printed when it is first seen."""

    def __init__(self) -> None:
        self._build, self._at_s = "", 0.0
        self._violated = False

    def is_new(self, now: Moment) -> bool:
        if now.build != self._build:
            self._build, self._at_s, self._violated = now.build, now.at_s, False
        was, self._violated = self._violated, bool(now.violations)
        return self._violated and not was

    def is_due(self, now: Moment) -> bool:
        if now.at_s < self._at_s + PLAIN_EVERY_S:
            return False
        self._at_s = now.at_s
        return True


def in_words(now: Moment) -> str:
    """One line: when, how fast, what broke, and what the invariants say so far."""
    at = "warming up" if now.at_s < 0 else f"{now.at_s:4.0f} s"
    parts = [f"{now.build} {at}", f"{now.recent.answered_per_s:.0f} answers/s"]
    if now.recent.p95_ms is not None:
        parts.append(f"p95 {now.recent.p95_ms:.0f} ms")
    if now.recent.failures:
        parts.append(f"{now.recent.failures} failures")
    parts += [f"{fault} is felt" for fault in now.broken]
    if now.violations is not None:
        held = f"held ({now.checked:,} operations)" if now.checked else NOTHING_CHECKED
        said = "; ".join(now.violations) or held
        parts.append(f"invariants so far: {said}")
    return " · ".join(parts)


def show_loaded(console: Console, loaded: Loaded) -> None:
    """The figures, the verdicts, and one sentence."""
    document = loaded.document
    for run in document.runs:
        console.print()
        if len(document.runs) > 1:
            console.print(Text(run.build.name, "bold"))
        _show_run(console, run)
    console.print()
    console.print(Text(f"{document.verdict.shown}. {document.conclusion}"))
    if loaded.unwritten:
        console.print(Text(f"There is no report: {loaded.unwritten}.", "yellow"))
        return
    console.print(Text(f"Report  {RunFolder(path=loaded.folder).page}"))


def _show_run(console: Console, run: LoadRun) -> None:
    if run.rows:
        console.print(table_of(run))
        console.print()
    for fault in run.faults:
        console.print(Text(f"{fault.text}: {felt_in_words(fault)}"))
    show_checks(console, run.checks)
    for threshold in run.thresholds:
        verdict = {True: Verdict.HELD, False: Verdict.VIOLATED}.get(threshold.met, Verdict.UNKNOWN)  # type: ignore[arg-type]
        shown = (f"{verdict.shown:<8}", COLOURS[verdict])
        console.print(Text.assemble(shown, threshold.text, (f"  {threshold.observed}", "dim")))
    show_doubts(console, run.doubts)
    if lost := missing_money(run.losses):
        console.print(Text(f"In the end: {lost}.", "red"))
    console.print(Text(_sentence(run)))


def _sentence(run: LoadRun) -> str:
    partial = " (partial history)" if run.partial else ""
    return (
        f"Audit: {run.verdict.shown}{partial}, in {run.audited_in_s:.1f} s. "
        f"{payments_in_words(run)} ({run.lasted_s:.1f} s)."
    )


def table_of(run: LoadRun) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("request")
    latencies = ("p50 ms", "p95 ms", "p99 ms", "max ms")
    for heading in ("requests", "per second", *latencies, "refused", "failures"):
        table.add_column(heading, justify="right")
    for row in run.rows:
        table.add_row(
            row.name,
            str(row.requests),
            f"{row.per_s:.1f}",
            *_shown(row.latencies),
            str(row.refused),
            str(row.failures),
        )
    return table


def _shown(latencies: Latencies) -> list[str]:
    each = (latencies.p50_ms, latencies.p95_ms, latencies.p99_ms, latencies.max_ms)
    return [NOTHING if ms is None else f"{ms:.0f}" for ms in each]
