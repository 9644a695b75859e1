"""Prices in words, made of the figures alone."""

from typing import Literal

from reports.price import SURE, Price, Spread
from reports.price_words import milliseconds, percent, range_of

Status = Literal["measured", "not measurable", "unknown"]


def price_in_words(price: Price) -> str:
    """One sentence: whatever of throughput, p50 and CPU can be told from nothing at all."""
    subject = f"{price.switch}={price.on}"
    load = "" if price.workload == "payments" else f", {price.workload}"
    if clauses := _clauses(price):
        *first, last = clauses
        told = f"{', '.join(first)} and {last}" if first else last
        return f"{subject} {told}, against {price.off}{load}"
    assert price.throughput is not None
    few = "" if price.throughput.sure >= SURE else ", with too few pairs to tell"
    return (
        f"What {subject} costs against {price.off}{load} is not measurable here: throughput x "
        f"{range_of(price.throughput)}{few}"
    )


def priced_by(price: Price) -> Status:
    return "measured" if _clauses(price) else "not measurable"


def _clauses(price: Price) -> list[str]:
    told: list[str] = []
    if price.throughput and price.throughput.differs_from(1):
        told.append(_throughput(price.throughput))
    added = ((price.p50_more_ms, "at p50"), (price.cpu_more_ms, "of CPU an answer"))
    for more_ms, where in added:
        if more_ms and more_ms.differs_from(0):
            verb = "costs" if more_ms.middle > 0 else "saves"
            told.append(f"{verb} {milliseconds(more_ms)} {where}")
    return told


def _throughput(ratio: Spread) -> str:
    low, high = sorted((abs(1 - ratio.low), abs(1 - ratio.high)))
    middle, span = percent(abs(1 - ratio.middle)), f"({percent(low)} to {percent(high)})"
    if ratio.middle < 1:
        return f"costs {middle} {span} of the throughput"
    return f"gives {middle} {span} more throughput"
