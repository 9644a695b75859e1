"""Choosers that need no search: serial orders, orders written down, and random ones."""

import random
from collections.abc import Sequence

from attacks.postgres.explorer.run import Choose, Pending
from attacks.postgres.footprint import Footprint


def serial(order: Sequence[int]) -> Choose:
    """One racer after the other, in this order, wherever locks allow it."""

    def choose(_: int, enabled: Sequence[Pending], __: Footprint | None) -> int:
        racers = [pending.racer for pending in enabled]
        return min(racers, key=list(order).index)

    return choose


def following(order: Sequence[int], *, then: int | None = None) -> Choose:
    """This order of choices, `then` this racer; where that cannot go, whoever comes first."""

    def choose(position: int, enabled: Sequence[Pending], _: Footprint | None) -> int:
        racers = [pending.racer for pending in enabled]
        wanted = order[position] if position < len(order) else then
        return wanted if wanted in racers else racers[0]

    return choose


def by_priorities(randomness: random.Random, racers: int, *, changes: int, steps: int) -> Choose:
    """Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010).

    Racers have random priorities and the highest that can go does; at `changes` random positions
    among the first `steps` choices the leader drops to the bottom.
    """
    ranked = list(range(racers))
    randomness.shuffle(ranked)
    drops = {randomness.randrange(max(1, steps)) for _ in range(changes)}

    def choose(position: int, enabled: Sequence[Pending], _: Footprint | None) -> int:
        able = {pending.racer for pending in enabled}
        leader = next(racer for racer in ranked if racer in able)
        if position in drops:
            ranked.remove(leader)
            ranked.append(leader)
            leader = next(racer for racer in ranked if racer in able)
        return leader

    return choose
