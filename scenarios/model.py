"""What a scenario is: a claim, an attack on it, the judges, and what it takes to believe them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from attacks.history import History
from reports.evidence import FaultCase, Measure
from scenarios.invariants import Invariant
from scenarios.lab import Lab
from scenarios.needs import Need, nothing
from scenarios.truth import GroundTruth

Suite = Literal["double spend", "read skew", "partial commit", "replay", "deadlock", "Redis outage"]
NAMED_SUITES: tuple[Suite, ...] = (
    "double spend",
    "read skew",
    "partial commit",
    "replay",
    "deadlock",
    "Redis outage",
)

Requirement = Callable[[History], str | None]
"""Why a history without findings proves nothing (the race never overlapped, …); None if it does."""

FaultCases = Callable[[History, GroundTruth, Iterable[int | None]], tuple[FaultCase, ...]]
"""Given also the rounds that were violated: a row for each fault that struck."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One claim and everything about it; a file each."""

    name: str
    suite: str
    """One of the six named suites, or the group of the catalogue for the other claims."""
    claim: str
    story: str | None
    """The module's docstring: its paragraphs Attack, Why and Known as are shown in reports."""
    attack: Callable[[Lab], None]
    invariants: tuple[Invariant, ...]
    holds_when: Need
    requires: tuple[Requirement, ...] = ()
    measures: tuple[Callable[[History], Measure], ...] = ()
    restarts: frozenset[Literal["postgres", "redis"]] = frozenset()
    """Stores that the attack restarts; not applicable where they are not ours."""
    strength: Literal["sampled", "bounded"] = "sampled"
    """Rounds are repetitions of a race (sampled), or cases that are each tried once (bounded)."""
    fault_cases: FaultCases | None = None
    """Reads the faults of an attack that lets them strike by itself out of its history."""
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What the service is started with beside its build, such as smaller bounds to its waits."""
    processes: int = 1
    """Of the service, each with a sender of its own (`Lab.senders`)."""
    canary: bool = False
    applies_when: Need = field(default_factory=nothing)
    """Where a build has what the attack is about; elsewhere the claim makes no sense."""
    applies_not: str = ""
    """Why, for the builds to which it does not apply: "this build never asks Redis"."""

    def told(self, heading: str) -> str:
        """A paragraph of the story, on one line."""
        pattern = rf"^{heading} +(.+?)(?=^\S|\Z)"
        found = re.search(pattern, self.story or "", flags=re.MULTILINE | re.DOTALL)
        return " ".join(found.group(1).split()) if found else ""
