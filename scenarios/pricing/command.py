"""`assay price`: what each defence costs, as table, document and page."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.price import Price, PriceList
from reports.price_words import number, ratio_shown, shown
from scenarios.console import console_for
from scenarios.pricing.committed import COMMITTED, COMMITTED_PAGE
from scenarios.pricing.listing import DOCUMENT, MARKDOWN, PAGE, Wanted, Watcher, make_list
from scenarios.pricing.subjects import subjects
from scenarios.pricing.turns import Pace
from scenarios.runner import OUT, new_seed

NOT_MEASURED = 3
# The machine's pace changes within seconds, so that short neighbours say more than long ones: pairs
# of 0.25 s differ as much as pairs of 0.7 s do, and there are three times as many of them.
PAIRS, SLOT_S, CLIENTS = 80, 0.25, 8
QUICK_PAIRS, QUICK_SLOT_S = 8, 0.6
COLOURS = {"measured": "", "not measurable": "dim", "unknown": "yellow"}


def price(  # noqa: PLR0913 - the command's options
    only: Annotated[
        list[str] | None,
        typer.Option(help="A switch, such as idempotency; may be given again. [default: all]"),
    ] = None,
    *,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=1, max=500, help=f"Pairs of slots; fewer than 8 tell nothing. [default: {PAIRS}]"
        ),
    ] = None,
    slot_s: Annotated[
        float | None, typer.Option(min=0.2, max=600, help=f"Length of a slot. [default: {SLOT_S}]")
    ] = None,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Who ask at once.")] = CLIENTS,
    locking: Annotated[
        bool | None,
        typer.Option(help="Strategies side by side. [unless --only names other switches]"),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Eight short pairs of each.")] = False,
    stores: Annotated[
        Literal["auto", "external", "container", "embedded"],
        typer.Option(help="Where PostgreSQL and Redis come from."),
    ] = "auto",
    out: Annotated[Path, typer.Option(help="The folder that runs are written to.")] = OUT,
    seed: Annotated[int | None, typer.Option(help="Repeats the random choices of a run.")] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Keep the list in docs/, for `assay explain`.")
    ] = False,
) -> None:
    """Measure what each defence costs, by taking it away: pairs of slots in turn.

    Exit codes: 0, 2 usage, 3 something is unknown, 4 the stores or the engine failed. A difference
    that is smaller than the noise is "not measurable", which is a result.
    """
    wanted = Wanted(
        command=f"assay {shlex.join(sys.argv[1:])}",
        subjects=subjects(only or ()),
        locking=(not only or "locking" in only) if locking is None else locking,
        pace=Pace(
            pairs=pairs or (QUICK_PAIRS if quick else PAIRS),
            slot_s=slot_s or (QUICK_SLOT_S if quick else SLOT_S),
            clients=clients,
            seed=new_seed() if seed is None else seed,
        ),
        stores=stores,
        out=out,
    )
    console = console_for(to_stderr=False)
    with console.status("") as status:
        watcher = Watcher(
            began=lambda what: status.update(f"pricing {what}"),
            priced=lambda priced: console.print(_line(priced)),
            interrupted=lambda folder, kept: console.print(Text(_kept(folder, kept, wanted))),
        )
        folder, found = make_list(wanted, watcher)
    show(console, found, folder)
    if write:
        keep(console, folder)
    raise typer.Exit(NOT_MEASURED if found.unknown else 0)


def keep(console: Console, folder: Path) -> None:
    for name, kept in ((DOCUMENT, COMMITTED), (MARKDOWN, COMMITTED_PAGE)):
        shutil.copyfile(folder / name, kept)
        console.print(Text(f"Kept    {kept}"))


def _kept(folder: Path, kept: int, wanted: Wanted) -> str:
    if not kept:
        return "Cut short before anything was measured."
    return f"Cut short: {kept} of {len(wanted.subjects)} prices are kept in {folder / PAGE}"


def _line(priced: Price) -> Text:
    # Text: brackets in what a service answered are not markup.
    words = f"{priced.name}: {priced.words}" if priced.status == "unknown" else priced.words
    return Text(words, COLOURS[priced.status])


def show(console: Console, found: PriceList, folder: Path) -> None:
    """The tables, what is unknown, and where the rest is."""
    console.print()
    if found.prices:
        console.print(_prices(found))
    if found.locking:
        console.print(_locking(found))
        for sentence in found.locking.says:
            console.print(Text(sentence))
    for what in found.unknown:
        console.print(Text(f"UNKNOWN {what}", "yellow"))
    machine = found.machine
    console.print(
        Text(
            f"{machine.cores} x {machine.processor}, Python {machine.python}, PostgreSQL "
            f"{machine.postgres}, Redis {machine.redis}, load before {machine.load_before:.1f}; "
            f"{found.clients} clients, {found.pairs} pairs of {found.slot_s:g} s, seed {found.seed}"
        )
    )
    console.print(Text(f"Report  {folder / PAGE}"))


def _prices(found: PriceList) -> Table:
    table = Table(title="on / off, median of the pairs (99 % interval)", title_justify="left")
    for column in ("switch", "answers/s on", "off", "throughput", "p50", "p99", "engine CPU"):
        table.add_column(column, overflow="fold")
    for one in found.prices:
        if one.on_side is None or one.off_side is None:
            table.add_row(one.name, "unknown", style="yellow")
            continue
        ratios = (one.throughput, one.p50, one.p99, one.engine_cpu)
        per_s = (number(side.per_s.middle) for side in (one.on_side, one.off_side))
        table.add_row(one.name, *per_s, *map(ratio_shown, ratios))
    return table


def _locking(found: PriceList) -> Table:
    table = Table(title="locking side by side (99 % interval)", title_justify="left")
    columns = (
        "wallets",
        "locking",
        "payments/s",
        "to row",
        "refused of 100",
        "rolled back per 100",
        "write p50, p99 ms",
        "read p50, p99 ms",
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    assert found.locking is not None
    for one in found.locking.strategies:
        table.add_row(
            f"{one.wallets:,}",
            one.locking,
            shown(one.per_s),
            ratio_shown(one.to_row) if one.locking != "row" else "1",
            f"{one.conflicts:.1f}",
            "-" if one.rolled_back is None else f"{one.rolled_back:.1f}",
            f"{number(one.writer_p50_ms.middle)}, {number(one.writer_p99_ms.middle)}",
            f"{number(one.reader_p50_ms.middle)}, {number(one.reader_p99_ms.middle)}",
        )
    return table
