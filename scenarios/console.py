"""What a run looks like while it goes on and when it is over: live in a terminal, else plain."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from engine.defences import Build
from reports.ablation import Row, ablation_table
from reports.ablation import Table as AblationTable
from reports.evidence import Cell, Environment, Evidence, StoreUsed, Verdict
from reports.judgement import needs_attention
from reports.load import AuditCheck
from reports.matrix import BUILDS_WITH_ROOM
from reports.store import RunFolder
from reports.terminal import render_text
from reports.words import headline, strength_in_brief
from scenarios.audit import Check
from scenarios.model import Scenario
from scenarios.runner import Watcher

COLOURS = {
    Verdict.HELD: "green",
    Verdict.VIOLATED: "red",
    Verdict.UNKNOWN: "yellow",
    Verdict.NOT_APPLICABLE: "dim",
}
PLAIN_WIDTH = 120


def console_for(*, to_stderr: bool) -> Console:
    """Colours and live progress in a terminal; elsewhere plain lines of a fixed width."""
    stream = sys.stderr if to_stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=not stream.isatty())


@contextmanager
def watching(console: Console, *, cells: int) -> Iterator[Watcher]:
    """A watcher that prints a line a cell, above a progress bar where there is a terminal."""
    progress = Progress(
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task("starting PostgreSQL and Redis", total=cells)

        def stores_ready(environment: Environment) -> None:
            console.print(_store_line("PostgreSQL", environment.postgres))
            console.print(_store_line("Redis", environment.redis))

        def cell_began(scenario: Scenario, build: Build) -> None:
            progress.update(task, description=f"{scenario.name} against {build.name}")

        def cell_ended(evidence: Evidence, cell: Cell) -> None:
            console.print(_cell_line(cell, max(len(build.name) for build in evidence.builds)))
            progress.update(task, completed=len(evidence.cells))

        yield Watcher(stores_ready=stores_ready, cell_began=cell_began, cell_ended=cell_ended)


@contextmanager
def counting(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for so many times of one thing; call what is given with each number done."""
    progress = Progress(
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total} {task.description}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def show_result(console: Console, evidence: Evidence, folder: Path) -> None:
    """The table of suites or removals, whatever needs attention, and where to read on."""
    console.print()
    if ablated := ablation_table(evidence):
        for line in ablation_lines(ablated):
            console.print(line)
    else:
        console.print(suite_table(evidence))
    for cell in needs_attention(evidence):
        console.print()
        # Text: brackets in what a service answered are not markup.
        console.print(
            Text(render_text(evidence, cell, width=min(console.width, 110), folder=folder))
        )
    console.print()
    console.print(Text(headline(evidence).sentence))
    console.print(Text(f"Report  {RunFolder(path=folder).page}"))


def suite_table(evidence: Evidence) -> Table:
    """Suites down, builds across; the six named ones first."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("suite")
    for build in evidence.builds:
        table.add_column(build.name)
    if len(evidence.builds) > BUILDS_WITH_ROOM and evidence.judged_by == "prediction":
        table.caption = "what is not marked came out as predicted"
        table.caption_justify = "left"
    for name in dict.fromkeys(suite.suite for suite in evidence.suites):
        row = [_suite_cell(evidence, name, build.name) for build in evidence.builds]
        table.add_row(Text(name), *row)
    return table


def ablation_lines(table: AblationTable) -> list[Text]:
    """Removals down, claims across by their numbers, and the numbers' names beneath."""
    wide = max((len(row.title) for row in table.rows), default=0) + 2
    numbers = [f"{number:>2}" for number in range(1, len(table.claims) + 1)]
    lines = [
        Text(f"{'removed' if digit else '':<{wide}}{' '.join(n[digit] for n in numbers)}", "dim")
        for digit in (0, 1)
    ]
    lines += [_removal_line(row, wide) for row in table.rows]
    names = [f"{n.strip()} {name}" for n, name in zip(numbers, table.claims, strict=True)]
    legend = "✕ violated and so caught, ✓ held as predicted, ! not as predicted, ? unknown"
    return [*lines, Text(), Text(f"{' · '.join(names)}\n{legend}", "dim")]


def _removal_line(row: Row, wide: int) -> Text:
    colour = {"bad": "bold red", "open": "yellow"}.get(row.tone, "green")
    line = Text(f"{row.title:<{wide}}")
    for place in row.places:
        line.append(f"{place.symbol:<2}", "bold red" if place.symbol == "!" else "")
    return line.append(f" {row.word}", colour)


def _suite_cell(evidence: Evidence, name: str, build: str) -> Text:
    for suite in evidence.suites:
        if suite.suite == name and suite.build == build:
            expected = suite.verdict == suite.predicted
            roomy = len(evidence.builds) <= BUILDS_WITH_ROOM
            compared = "as predicted" if roomy and evidence.judged_by == "prediction" else ""
            note = compared if expected else f"{suite.predicted.shown} was predicted"
            return Text.assemble(
                (f"{suite.verdict.shown:<8}", COLOURS[suite.verdict]),
                (note, "dim" if expected else "bold red"),
            )
    return Text("-")


def _cell_line(cell: Cell, wide: int) -> Text:
    """`wide`: how much room the names of the builds need."""
    hits = strength_in_brief(cell)
    if cell.reasons and cell.verdict is not Verdict.VIOLATED:
        hits = cell.reasons[0]
    line = Text.assemble(
        (f"{cell.verdict.shown:<8}", COLOURS[cell.verdict]),
        f"{cell.scenario:<20} {cell.build:<{wide}} {cell.duration_s:5.1f} s  {hits}",
    )
    if not cell.as_predicted:
        line.append(f"  NOT as predicted ({cell.predicted.shown})", "bold red")
    return line


def _store_line(name: str, store: StoreUsed) -> Text:
    skipped = "".join(f"; {reason}" for reason in store.skipped)
    return Text(f"{name} {store.version}, {store.kind}: {store.reason}{skipped}", "dim")


def show_checks(console: Console, checks: Iterable[Check | AuditCheck]) -> None:
    """The lines of an audit."""
    for check in checks:
        detail = f"  {check.detail}" if check.detail else ""
        # Text: brackets in what a service answered are not markup.
        shown = (f"{check.verdict.shown:<8}", COLOURS[check.verdict])
        console.print(Text.assemble(shown, check.claim, (detail, "dim")))


def show_doubts(console: Console, doubts: Iterable[str]) -> None:
    """Why nothing is proved."""
    for doubt in doubts:
        console.print(Text(f"Nothing can be said for sure: {doubt}.", "yellow"))
