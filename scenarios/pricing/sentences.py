"""Prices in words, made of the figures alone."""

from typing import Literal

from reports.price import Price, Spread
from reports.price_words import milliseconds_more, percent, range_of

Status = Literal["measured", "not measurable", "unknown"]


def price_in_words(price: Price) -> str:
    """One sentence: throughput and p50, as far as either can be told from nothing at all."""
    told = [_throughput(price.throughput), _p50(price.p50_more_ms)]
    clauses = [clause for clause in told if clause]
    subject = f"{price.switch}={price.on}"
    if not clauses:
        assert price.throughput is not None
        few = "" if price.throughput.sure >= 0.95 else ", by fewer than six pairs"
        return (
            f"What {subject} costs against {price.off} is not measurable here: throughput × "
            f"{range_of(price.throughput)}{few}"
        )
    return f"{subject} {' and '.join(clauses)}, against {price.off}"


def priced_by(price: Price) -> Status:
    """By its throughput, or at least by its latency."""
    sure = _throughput(price.throughput) or _p50(price.p50_more_ms)
    return "measured" if sure else "not measurable"


def _throughput(ratio: Spread | None) -> str:
    if ratio is None or not ratio.differs_from(1):
        return ""
    verb = "costs" if ratio.middle < 1 else "gives"
    more = "" if ratio.middle < 1 else " more"
    low, high = sorted((abs(1 - ratio.low), abs(1 - ratio.high)))
    middle = percent(abs(1 - ratio.middle))
    span = f"({percent(low)} to {percent(high)})"
    return f"{verb} {middle}{more} {span} {'of the ' if ratio.middle < 1 else ''}throughput"


def _p50(more_ms: Spread | None) -> str:
    if more_ms is None or not more_ms.differs_from(0):
        return ""
    return f"{milliseconds_more(more_ms)} at p50"
