"""Figures of a price list as one reads them, always with their spread."""

from reports.price import PriceList, Spread


def incomplete(found: PriceList) -> str:
    """That more was asked for; empty when all is there."""
    if found.status == "complete":
        return ""
    word = "was interrupted" if found.status == "interrupted" else "is not finished"
    return f"This list {word}: it has what was priced until then."


def percent(share: float) -> str:
    """Such as "9 %", and "0.4 %" where a whole number would say nothing."""
    number = 100 * share
    return f"{number:.1f} %" if number < 2 else f"{number:.0f} %"


def number(value: float) -> str:
    """With three digits that count."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def range_of(spread: Spread) -> str:
    return f"{number(spread.low)} to {number(spread.high)}"


def shown(spread: Spread | None) -> str:
    """The median with its interval; "-" where nothing is known."""
    return "-" if spread is None else f"{number(spread.middle)} ({range_of(spread)})"


def ratio_shown(spread: Spread | None) -> str:
    """A ratio with its interval, and nothing but the interval where that covers 1."""
    if spread is None:
        return "-"
    if spread.differs_from(1):
        return f"x {shown(spread)}"
    return f"not measurable ({range_of(spread)})"


def milliseconds(spread: Spread) -> str:
    """How much, whatever its sign."""
    low, high = sorted((abs(spread.low), abs(spread.high)))
    return f"{number(abs(spread.middle))} ms ({number(low)} to {number(high)})"
