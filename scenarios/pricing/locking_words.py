"""When optimistic locking wins and when pessimistic does: from the figures alone."""

from collections.abc import Sequence

from reports.price import Strategy
from reports.price_words import number, range_of
from scenarios.pricing.statistics import ratios


def verdicts(strategies: Sequence[Strategy]) -> tuple[str, ...]:
    """A sentence for each number of wallets, then one over all of them."""
    told: list[str] = []
    winners: dict[int, str] = {}
    for wallets in sorted({strategy.wallets for strategy in strategies}):
        here = [strategy for strategy in strategies if strategy.wallets == wallets]
        sides = [_best(here, kind) for kind in ("pessimistic", "optimistic")]
        pessimistic, optimistic = sides
        if pessimistic is None or optimistic is None:
            continue
        winners[wallets], sentence = _duel(pessimistic, optimistic)
        told.append(sentence)
    return (*told, *_over_all(winners))


def _best(strategies: Sequence[Strategy], kind: str) -> Strategy | None:
    """By the median of its throughput."""
    of_kind = [strategy for strategy in strategies if strategy.kind == kind]
    return max(of_kind, key=lambda strategy: strategy.per_s.middle, default=None)


def _duel(pessimistic: Strategy, optimistic: Strategy) -> tuple[str, str]:
    """Who wins ("" where nobody does), and the sentence."""
    where = f"On {pessimistic.wallets:,} wallets"
    names = f"{optimistic.locking} / {pessimistic.locking}"
    ratio = ratios(optimistic.per_s.values, pessimistic.per_s.values)
    if ratio is None or not ratio.differs_from(1):
        span = "" if ratio is None else f" x {range_of(ratio)}"
        return "", f"{where} neither is measurably faster ({names}{span})."
    best, other = (optimistic, pessimistic) if ratio.middle > 1 else (pessimistic, optimistic)
    sentence = (
        f"{where} {best.kind} wins: {best.locking} makes {number(best.per_s.middle)} payments a "
        f"second, {other.locking} {number(other.per_s.middle)} ({names} x {number(ratio.middle)}, "
        f"{range_of(ratio)}; {number(optimistic.conflicts)} of 100 refused as conflicts)."
    )
    return best.kind, sentence


def _over_all(winners: dict[int, str]) -> tuple[str, ...]:
    outcomes = {
        "pessimistic": "pessimistic on",
        "optimistic": "optimistic on",
        "": "no measurable difference on",
    }
    told = [
        f"{words} {' and '.join(places)} wallets"
        for kind, words in outcomes.items()
        if (places := [f"{wallets:,}" for wallets, winner in winners.items() if winner == kind])
    ]
    return (f"So here: {'; '.join(told)}.",) if told else ()
