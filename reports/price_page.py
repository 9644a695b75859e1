"""A price list as one HTML page: no network, readable without JavaScript, made of the document."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from reports.price import Price, PriceList, Side, Spread, Strategy
from reports.price_words import incomplete, number, ratio_shown, shown
from reports.quiet import AGAIN
from reports.rendering import rendered

WIDEST = 4.0
"""Ratios beyond this, or below its inverse, are drawn at the edge."""
TICKS = (0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar with its whiskers; percent of the chart's width."""

    left: float
    width: float
    low: float
    high: float
    tone: str
    """"cost", "gain", "unsure" or "rate"."""
    text: str


@dataclass(frozen=True, kw_only=True)
class PriceView:
    price: Price
    bar: Bar | None
    sides: tuple[Side, ...]
    ratios: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class StrategyView:
    strategy: Strategy
    bar: Bar
    to_row: str


@dataclass(frozen=True, kw_only=True)
class CrowdView:
    wallets: str
    strategies: tuple[StrategyView, ...]


def render_price_page(found: PriceList) -> str:
    """Everything from the document is escaped: services under load chose part of it."""
    locking = found.locking
    return rendered(
        "price.html",
        found=found,
        views=[_view(price) for price in found.prices],
        crowds=_crowds(locking.strategies) if locking else (),
        incomplete=incomplete(found),
        ticks=[(_ratio_place(tick), f"x {tick:g}") for tick in TICKS],
        shown=shown,
        number=number,
        busy_again=AGAIN,
    )


def _view(price: Price) -> PriceView:
    ratios = (
        ("throughput", price.throughput),
        ("p50", price.p50),
        ("p99", price.p99),
        ("engine CPU", price.engine_cpu),
        ("PostgreSQL CPU", price.postgres_cpu),
    )
    return PriceView(
        price=price,
        bar=_ratio_bar(price.throughput) if price.throughput else None,
        sides=tuple(side for side in (price.on_side, price.off_side) if side),
        ratios=tuple((name, ratio_shown(ratio)) for name, ratio in ratios if ratio),
    )


def _ratio_bar(ratio: Spread) -> Bar:
    """From x 1 to the median, on a logarithmic axis: half and twice are equally far from one."""
    one, middle = _ratio_place(1), _ratio_place(ratio.middle)
    sure = ratio.differs_from(1)
    tone = ("cost" if ratio.middle < 1 else "gain") if sure else "unsure"
    return Bar(
        left=min(one, middle),
        width=abs(middle - one),
        low=_ratio_place(ratio.low),
        high=_ratio_place(ratio.high),
        tone=tone,
        text=ratio_shown(ratio),
    )


def _ratio_place(ratio: float) -> float:
    bounded = min(max(ratio, 1 / WIDEST), WIDEST)
    return 50 + 50 * math.log(bounded) / math.log(WIDEST)


def _crowds(strategies: Iterable[Strategy]) -> tuple[CrowdView, ...]:
    all_of_them = tuple(strategies)
    return tuple(
        _crowd(wallets, tuple(s for s in all_of_them if s.wallets == wallets))
        for wallets in sorted({strategy.wallets for strategy in all_of_them})
    )


def _crowd(wallets: int, strategies: tuple[Strategy, ...]) -> CrowdView:
    most = max(strategy.per_s.high for strategy in strategies) or 1.0
    return CrowdView(
        wallets=f"{wallets:,}",
        strategies=tuple(
            StrategyView(
                strategy=strategy,
                bar=_bar_to(strategy.per_s, most),
                to_row="1" if strategy.locking == "row" else ratio_shown(strategy.to_row),
            )
            for strategy in strategies
        ),
    )


def _bar_to(spread: Spread, most: float) -> Bar:
    return Bar(
        left=0.0,
        width=100 * spread.middle / most,
        low=100 * spread.low / most,
        high=100 * spread.high / most,
        tone="rate",
        text=shown(spread),
    )
