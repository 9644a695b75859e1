"""A price list as Markdown."""

from collections.abc import Iterator

from reports.price import PriceList
from reports.price_words import incomplete, number, ratio_shown, shown
from reports.quiet import AGAIN

HEAD = "| switch | good answers/s on | off | throughput on / off | p50 | p99 | engine CPU |"
LOCKING_HEAD = (
    "| wallets | locking | payments/s | to row | refused of 100 | rolled back per 100 | "
    "writers' p50 and p99, ms | readers' p50 and p99, ms |"
)


def render_price_markdown(found: PriceList) -> str:
    return "\n".join(line for part in _parts(found) for line in part) + "\n"


def _parts(found: PriceList) -> Iterator[list[str]]:
    yield ["# What the defences cost", "", *_conditions(found), ""]
    if found.prices:
        yield ["## Each switch", "", *_prices(found), ""]
        yield ["## In words", "", *(f"- {_cell(price.words)}" for price in found.prices), ""]
    if found.not_priced:
        reasons = (f"- {name}: {reason}" for name, reason in found.not_priced.items())
        yield ["## Without a price", "", *reasons, ""]
    if found.locking:
        yield ["## Strategies of locking", "", *_locking(found), ""]
        yield [f"- {_cell(sentence)}" for sentence in (*found.locking.says, *found.locking.failed)]


def _conditions(found: PriceList) -> Iterator[str]:
    machine = found.machine
    yield f"Written by `{found.command}` on {found.began[:10]}; do not edit."
    yield ""
    yield f"{machine.cores} x {_cell(machine.processor)}, Python {machine.python},"
    yield f"PostgreSQL {machine.postgres}, Redis {machine.redis}, load {machine.load_before:.1f}."
    yield f"{found.clients} clients on the same machine send as fast as answers come; both builds"
    yield f"are up at once and take turns, {found.pairs} pairs of {found.slot_s:g} s slots."
    yield "A figure is the median with its 99 % interval (sign test). Trust the ratios; where an"
    yield "interval covers 1, or there are fewer than eight pairs, nothing is measured."
    if found.status != "complete":
        yield f"**{incomplete(found)}**"
    if machine.busy:
        yield f"**The machine was {AGAIN}.**"


def _prices(found: PriceList) -> Iterator[str]:
    yield HEAD
    yield "|---|---|---|---|---|---|---|"
    for price in found.prices:
        if price.on_side is None or price.off_side is None:
            yield f"| {_cell(price.name)} | unknown | | | | | |"
            continue
        ratios = (price.throughput, price.p50, price.p99, price.engine_cpu)
        sides = (shown(price.on_side.per_s), shown(price.off_side.per_s))
        yield f"| {' | '.join((_cell(price.name), *sides, *map(ratio_shown, ratios)))} |"


def _locking(found: PriceList) -> Iterator[str]:
    assert found.locking is not None
    locking = found.locking
    yield f"{locking.writers} writers and {locking.readers} readers; {locking.both}."
    yield ""
    yield LOCKING_HEAD
    yield "|---|---|---|---|---|---|---|---|"
    for one in found.locking.strategies:
        cells = (
            f"{one.wallets:,}",
            one.locking,
            shown(one.per_s),
            "1" if one.locking == "row" else ratio_shown(one.to_row),
            f"{one.conflicts:.1f}",
            "-" if one.rolled_back is None else f"{one.rolled_back:.1f}",
            f"{number(one.writer_p50_ms.middle)} and {number(one.writer_p99_ms.middle)}",
            f"{number(one.reader_p50_ms.middle)} and {number(one.reader_p99_ms.middle)}",
        )
        yield f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """On one line, and no end of a cell in it."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
