"""The matrix, suite and claim against build, as plain values: every report draws the same one.

The named suites come first, then the other groups, then the canaries.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from reports.evidence import Cell, Claim, Evidence, Verdict

BUILDS_WITH_ROOM = 3
"""With more columns than this a table shows verdicts only, and marks what was not predicted."""
WORST_FIRST = (Verdict.VIOLATED, Verdict.UNKNOWN, Verdict.HELD, Verdict.NOT_APPLICABLE)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One place of the matrix; without a verdict when it did not run."""

    build: str
    verdict: Verdict | None
    predicted: Verdict | None
    anchor: str | None

    @property
    def as_predicted(self) -> bool:
        return self.verdict == self.predicted

    @property
    def shown(self) -> str:
        return self.verdict.shown if self.verdict else "not run"


@dataclass(frozen=True, kw_only=True)
class Line:
    title: str
    anchor: str
    entries: tuple[Entry, ...]
    claim: str = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A suite with the claims that it consists of."""

    suite: Line
    lines: tuple[Line, ...]
    kind: str
    """"named", "group" or "canary"."""


def matrix(evidence: Evidence) -> tuple[Group, ...]:
    groups = [_group(evidence, title, claims) for title, claims in _suites(evidence).items()]
    order = ("named", "group", "canary")
    return tuple(sorted(groups, key=lambda group: order.index(group.kind)))


def _suites(evidence: Evidence) -> dict[str, list[Claim]]:
    # The order of the suites is the runner's; claims alone decide while a run has none yet.
    suites: dict[str, list[Claim]] = {}
    own = {claim.suite for claim in evidence.claims if not claim.canary}
    for suite in evidence.suites:
        if suite.suite in own:
            suites.setdefault(suite.suite, [])
    for claim in evidence.claims:
        suites.setdefault("canary" if claim.canary else claim.suite, []).append(claim)
    return suites


def _group(evidence: Evidence, title: str, claims: list[Claim]) -> Group:
    cells = {(cell.scenario, cell.build): cell for cell in evidence.cells}
    lines = tuple(_line(evidence, claim, cells) for claim in claims)
    entries = tuple(
        _suite_entry(evidence, title, build.name, [cells.get((c.name, build.name)) for c in claims])
        for build in evidence.builds
    )
    suite = Line(title=title, anchor=suite_anchor(title), entries=entries)
    return Group(suite=suite, lines=lines, kind=_kind(evidence, title, claims))


def _kind(evidence: Evidence, title: str, claims: list[Claim]) -> str:
    if any(claim.canary for claim in claims):
        return "canary"
    named = any(suite.named for suite in evidence.suites if suite.suite == title)
    return "named" if named else "group"


def _line(evidence: Evidence, claim: Claim, cells: dict[tuple[str, str], Cell]) -> Line:
    entries = []
    for build in evidence.builds:
        cell = cells.get((claim.name, build.name))
        entries.append(
            Entry(
                build=build.name,
                verdict=cell.verdict if cell else None,
                predicted=cell.predicted if cell else None,
                anchor=cell_anchor(claim.name, build.name) if cell else None,
            )
        )
    anchor = claim_anchor(claim.name)
    return Line(title=claim.name, claim=claim.claim, anchor=anchor, entries=tuple(entries))


def _suite_entry(evidence: Evidence, title: str, build: str, places: list[Cell | None]) -> Entry:
    """The suite's verdict; its link leads to the cell that decided it."""
    cells = [cell for cell in places if cell]
    stated = next((s for s in evidence.suites if (s.suite, s.build) == (title, build)), None)
    verdict = stated.verdict if stated else worst(cell.verdict for cell in cells)
    predicted = stated.predicted if stated else worst(cell.predicted for cell in cells)
    if not stated and len(cells) < len(places) and verdict is not Verdict.VIOLATED:
        verdict = None  # Half a suite proves nothing good about it.
    decisive = next((cell for cell in cells if cell.verdict == verdict), None)
    anchor = cell_anchor(decisive.scenario, build) if decisive else None
    return Entry(build=build, verdict=verdict, predicted=predicted, anchor=anchor)


def worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    return min(verdicts, key=WORST_FIRST.index, default=None)


def cell_anchor(scenario: str, build: str) -> str:
    return f"cell-{_slug(scenario)}--{_slug(build)}"


def claim_anchor(scenario: str) -> str:
    return f"claim-{_slug(scenario)}"


def suite_anchor(suite: str) -> str:
    return f"suite-{_slug(suite)}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
