"""What the page shows, as plain values: the templates only lay it out."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from reports.ablation import Table, ablation_table, base_defences
from reports.chart import Chart, lay_out_chart
from reports.evidence import Build, Cell, Claim, Evidence, Finding, Verdict
from reports.judgement import Judgement, judge, needs_attention
from reports.matrix import BUILDS_WITH_ROOM, Group, cell_anchor, matrix
from reports.search_page import SearchView, lay_out_search
from reports.timeline import Timeline, lay_out
from reports.words import (
    Headline,
    duration,
    exit_code_in_words,
    headline,
    moment,
    prediction_in_words,
    strength_in_brief,
    strength_in_words,
    verdict_in_words,
)

FINDINGS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class CellView:
    cell: Cell
    anchor: str
    brief: str
    verdict: str
    strength: str
    prediction: str
    took: str
    opened: bool
    history: str | None
    """A link into the run's folder; None when the evidence names no place inside it."""
    findings: tuple[Finding, ...]
    findings_hidden: int
    timeline: Timeline
    chart: Chart
    search: SearchView


@dataclass(frozen=True, kw_only=True)
class ClaimView:
    claim: Claim
    anchor: str
    cells: tuple[CellView, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    group: Group
    claims: tuple[ClaimView, ...]


@dataclass(frozen=True, kw_only=True)
class SwitchRow:
    name: str
    values: tuple[str | None, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


@dataclass(frozen=True, kw_only=True)
class Page:
    evidence: Evidence
    headline: Headline
    facts: tuple[tuple[str, str], ...]
    planned: int
    """How many cells there are when the run gets to its end."""
    attention: tuple[CellView, ...]
    groups: tuple[Group, ...]
    sections: tuple[Section, ...]
    switches: tuple[SwitchRow, ...]
    ablation: Table | None = None
    """What was removed and what caught it; drawn instead of the matrix."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The builds whose switches are shown: of removals only what they are removed from."""
        if self.ablation:
            return ("the base of every removal",)
        return tuple(build.name for build in self.evidence.builds)

    @property
    def many(self) -> bool:
        """So many builds that the matrix has room for their verdicts only."""
        return len(self.evidence.builds) > BUILDS_WITH_ROOM


def lay_out_page(evidence: Evidence, folder: Path | None = None) -> Page:
    groups = matrix(evidence)
    views = {(c.scenario, c.build): _cell_view(evidence, c, folder) for c in evidence.cells}
    attention = tuple(views[cell.scenario, cell.build] for cell in needs_attention(evidence))
    return Page(
        evidence=evidence,
        headline=headline(evidence),
        facts=_facts(evidence),
        planned=evidence.planned,
        attention=attention,
        groups=groups,
        sections=tuple(_section(evidence, group, views) for group in groups),
        switches=switch_rows(_shown_builds(evidence)),
        ablation=ablation_table(evidence),
    )


def _facts(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    return (
        ("Started", moment(evidence.started_at)),
        ("Took", duration(evidence.duration_s)),
        ("Target", evidence.target),
        ("Seed", str(evidence.seed)),
        ("Exit code", exit_code_in_words(evidence)),
    )


def _section(evidence: Evidence, group: Group, views: dict[tuple[str, str], CellView]) -> Section:
    claims = {claim.name: claim for claim in evidence.claims}
    shown = []
    for line in group.lines:
        keys = [(line.title, build.name) for build in evidence.builds]
        cells = tuple(views[key] for key in keys if key in views)
        shown.append(ClaimView(claim=claims[line.title], anchor=line.anchor, cells=cells))
    return Section(group=group, claims=tuple(shown))


def _cell_view(evidence: Evidence, cell: Cell, folder: Path | None) -> CellView:
    timeline = lay_out(cell.timeline)
    surprising = judge(evidence, cell) in {Judgement.FAILED, Judgement.UNDECIDED}
    return CellView(
        cell=cell,
        anchor=cell_anchor(cell.scenario, cell.build),
        brief=strength_in_brief(cell),
        verdict=verdict_in_words(cell),
        strength=strength_in_words(cell),
        prediction=prediction_in_words(cell),
        took=duration(cell.duration_s),
        opened=surprising or cell.verdict is Verdict.VIOLATED,
        history=_link(cell.history_file),
        findings=cell.findings[:FINDINGS_SHOWN],
        findings_hidden=max(len(cell.findings) - FINDINGS_SHOWN, 0),
        timeline=timeline,
        chart=lay_out_chart(timeline),
        search=lay_out_search(evidence.run, cell, folder),
    )


def _link(file: str) -> str | None:
    # Evidence may come from anywhere: no scheme, no root and no way up gets into a link.
    parts = file.split("/")
    if not file or ":" in parts[0] or "\\" in file or {"", ".."} & set(parts):
        return None
    return quote(file)


def _shown_builds(evidence: Evidence) -> tuple[Build, ...]:
    if not evidence.ablation or not evidence.builds:
        return evidence.builds
    base = base_defences(evidence)
    return (evidence.builds[0].model_copy(update={"defences": base}),)


def switch_rows(builds: tuple[Build, ...]) -> tuple[SwitchRow, ...]:
    levels = tuple(build.isolation_level for build in builds)
    names = dict.fromkeys(name for build in builds for name in build.defences)
    return (
        SwitchRow(name="isolation level", values=levels),
        *(
            SwitchRow(name=name, values=tuple(build.defences.get(name) for build in builds))
            for name in names
        ),
    )
