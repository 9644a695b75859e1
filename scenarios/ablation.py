"""What `assay ablate` removes: each defence of `hardened` alone, and two that cover each other.

A removal is `hardened` with one defence set to one of its fragile values. The claims whose need
becomes false without it have to break. Where there is none because a second defence covers for it,
that one is removed as well, in a build of its own, and then a claim has to break.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from engine.defences import (
    Build,
    DefenceError,
    as_dict,
    named_builds,
    parse_build,
    switches,
    values_of,
)
from scenarios.model import Scenario

BASE = "hardened"
MOST_CLAIMS = 3
"""So many claims a removal keep a run of all of them short."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A build with something removed, and what has to come of it."""

    removed: dict[str, str]
    """Each defence that is removed, with the fragile value that it gets."""
    breaks: tuple[Scenario, ...] = ()
    """The claims that have to be violated."""
    keeps: tuple[Scenario, ...] = ()
    """The claims that name the defence and hold all the same: another defence covers for it."""
    covered_in: tuple[str, ...] = ()
    """The builds in which that other defence is removed, too."""

    @cached_property
    def build(self) -> Build:
        return parse_build(name_of(self.removed))

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """What is run against it."""
        return (*self.breaks, *self.keeps)


def name_of(removed: dict[str, str]) -> str:
    return ",".join([BASE, *(f"{name}={value}" for name, value in removed.items())])


def removals(
    scenarios: Sequence[Scenario], only: Iterable[str] = (), *, most: int | None = None
) -> tuple[Removal, ...]:
    """Every removal of every defence, or of those named ("locking", "retry=blind"); pairs last.

    `most` bounds the claims of each: those stay whose needs look at the fewest switches, because
    they say most clearly what was removed. Raises DefenceError for a name that is no defence, or
    that only changes speed or shape.
    """
    chosen = frozenset(map(_checked, only))
    claims = [scenario for scenario in scenarios if not scenario.canary]
    singles: list[Removal] = []
    pairs: dict[str, Removal] = {}
    for name, value in _fragile_settings():
        if chosen and not {name, f"{name}={value}"} & chosen:
            continue
        single = Removal(removed={name: value}, breaks=_broken(claims, {name: value}))
        if not single.breaks:
            covering = tuple(_pairs(claims, name, value))
            pairs |= {pair.build.name: pair for pair in covering}
            single = Removal(
                removed=single.removed,
                keeps=_once(claim for pair in covering for claim in pair.breaks),
                covered_in=tuple(pair.build.name for pair in covering),
            )
        singles.append(single)
    return tuple(_bounded(removal, most) for removal in (*singles, *pairs.values()))


def _bounded(removal: Removal, most: int | None) -> Removal:
    narrow = sorted(removal.breaks, key=lambda claim: len(claim.holds_when.switches))[:most]
    return replace(removal, breaks=tuple(claim for claim in removal.breaks if claim in narrow))


def _fragile_settings() -> Iterator[tuple[str, str]]:
    for name, switch in switches().items():
        for value in values_of(name)[: switch.fragile_count]:
            if value not in switch.variants:
                yield name, value


def _pairs(claims: Sequence[Scenario], name: str, value: str) -> Iterator[Removal]:
    """This defence removed with each other one that covers for it, in the first way that shows."""
    seen: set[str] = set()
    for other, weak in _fragile_settings():
        both = {name: value, other: weak}
        removed = {switch: both[switch] for switch in switches() if switch in both}
        broken = tuple(
            claim
            for claim in _broken(claims, removed)
            if {name, other} <= set(claim.holds_when.switches)
            and not _broken([claim], {other: weak})
        )
        if other not in {name, *seen} and broken:
            seen.add(other)
            yield Removal(removed=removed, breaks=broken)


def _broken(claims: Iterable[Scenario], removed: dict[str, str]) -> tuple[Scenario, ...]:
    """The claims that name what is removed, and do not hold without it."""
    values = as_dict(named_builds()[BASE].defences) | removed
    return tuple(
        claim
        for claim in claims
        if set(removed) & set(claim.holds_when.switches)
        and claim.applies_when.holds(values)
        and not claim.holds_when.holds(values)
    )


def _once(claims: Iterable[Scenario]) -> tuple[Scenario, ...]:
    return tuple({claim.name: claim for claim in claims}.values())


def _checked(text: str) -> str:
    """A defence, or one with a fragile value. Raises DefenceError as `parse_build` does."""
    name, _, value = text.partition("=")
    known = values_of(name)[0] if name in switches() else ""
    parse_build(f"{BASE},{name}={value or known}")
    fragile = [weak for switch, weak in _fragile_settings() if switch == name]
    if not fragile or (value and value not in fragile):
        there_are = f"its fragile values are {', '.join(fragile)}" if fragile else "none is fragile"
        raise DefenceError(f"{text} is nothing to remove: {there_are}")
    return text
