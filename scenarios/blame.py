"""Which switches of a build are to blame when a claim does not hold in it."""

from itertools import combinations

from engine.defences import as_dict, named_builds, switches, values_of
from scenarios.needs import Need, Switches


def guilty(need: Need, values: Switches) -> list[str]:
    """The switches whose hardened values make it hold, as few at a time as will do it.

    Empty when it holds.
    """
    if need.holds(values):
        return []
    hardened = as_dict(named_builds()["hardened"].defences)
    weak = [name for name in need.switches if _is_fragile(name, values[name])]
    for size in range(1, len(weak) + 1):
        enough = [
            names
            for names in combinations(weak, size)
            if need.holds({**values, **{name: hardened[name] for name in names}})
        ]
        if enough:
            return [name for name in weak if any(name in names for names in enough)]
    return weak


def _is_fragile(name: str, value: str) -> bool:
    return value in values_of(name)[: switches()[name].fragile_count]
