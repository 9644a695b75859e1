"""What became of each removed defence: every report and the exit code read it from here.

A removal is caught when a claim that needs the defence was violated without it. Where a second
defence covers for it, the claims that name it hold, and the removal of both has to be caught.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from reports.evidence import Cell, Evidence, Removal, Verdict


class Outcome(StrEnum):
    CAUGHT = "caught"
    COVERED = "covered"
    MISSED = "missed"
    """A claim should have broken, or a cover should have held, and did not."""
    UNCLAIMED = "not caught"
    """No claim of this version breaks without it."""
    UNKNOWN = "unknown"
    NOT_RUN = "not run"


BAD = frozenset({Outcome.MISSED, Outcome.UNCLAIMED})
OPEN = frozenset({Outcome.UNKNOWN, Outcome.NOT_RUN})


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a claim meets a removal in the table; without a cell it did not run (yet)."""

    claim: str
    needed: bool
    """Whether the claim is to be run against this removal at all."""
    cell: Cell | None

    @property
    def symbol(self) -> str:
        """✕ violated, ✓ held, ? unknown, ! not as predicted, · still to come, or nothing."""
        if not self.needed:
            return ""
        if self.cell is None:
            return "·"
        if self.cell.verdict is Verdict.UNKNOWN:
            return "?"
        if not self.cell.as_predicted:
            return "!"
        return {Verdict.VIOLATED: "✕", Verdict.HELD: "✓"}.get(self.cell.verdict, "-")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One removal with what was seen of it."""

    removal: Removal
    outcome: Outcome
    caught_by: tuple[str, ...]
    places: tuple[Place, ...]
    """One for each claim of the table, in its order."""

    @property
    def title(self) -> str:
        """As one types it: "lock_order=request, retry=none"."""
        return ", ".join(f"{name}={value}" for name, value in self.removal.removed.items())

    @property
    def tone(self) -> str:
        """ "good", "bad" or "open": what colour it deserves."""
        return "bad" if self.outcome in BAD else "open" if self.outcome in OPEN else "good"

    @property
    def word(self) -> str:
        return self.outcome.value.upper() if self.outcome in BAD else self.outcome.value

    @property
    def because(self) -> str:
        """What came of it, and why, in a few words."""
        if self.outcome is Outcome.CAUGHT:
            return f"caught by {', '.join(self.caught_by)}"
        if self.outcome is Outcome.COVERED:
            return f"covered: caught in {' and '.join(map(_short, self.removal.covered_in))}"
        if self.outcome is Outcome.UNCLAIMED:
            return "NOT CAUGHT: no claim breaks without it"
        if self.outcome is Outcome.MISSED and self.removal.breaks:
            return f"NOT CAUGHT: {', '.join(self.removal.breaks)} held without it"
        if self.outcome is Outcome.MISSED:
            return "NOT CAUGHT: what should cover for it did not, or its removal was not caught"
        return self.outcome.value


@dataclass(frozen=True, kw_only=True)
class Table:
    """Claims across, removals down."""

    claims: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def sentence(self) -> str:
        """How many removals were caught, and which were not: one clear line."""
        good = [row for row in self.rows if row.outcome not in BAD | OPEN]
        parts = [f"{len(good)} of {len(self.rows)} removals caught or covered"]
        for words, outcomes in (("not caught", BAD), ("unknown", OPEN)):
            if named := [row.title for row in self.rows if row.outcome in outcomes]:
                parts.append(f"{words}: {'; '.join(named)}")
        return f"{'. '.join(part[:1].upper() + part[1:] for part in parts)}."


def ablation_table(evidence: Evidence) -> Table | None:
    """None for a run that removed nothing."""
    if not evidence.ablation:
        return None
    cells = {(cell.build, cell.scenario): cell for cell in evidence.cells}
    named = {claim for removal in evidence.ablation for claim in _claims(removal)}
    claims = tuple(claim.name for claim in evidence.claims if claim.name in named)
    outcomes = _outcomes(evidence.ablation, cells)
    rows = tuple(
        Row(
            removal=removal,
            outcome=outcomes[removal.build],
            caught_by=_caught_by(removal, cells),
            places=tuple(
                Place(
                    claim=claim,
                    needed=claim in _claims(removal),
                    cell=cells.get((removal.build, claim)),
                )
                for claim in claims
            ),
        )
        for removal in evidence.ablation
    )
    return Table(claims=claims, rows=rows)


def base_defences(evidence: Evidence) -> dict[str, str]:
    """The switches of the build that everything was removed from, as far as they can be told."""
    removed = {removal.build: removal.removed for removal in evidence.ablation}
    return {
        name: value
        for build in evidence.builds
        for name, value in build.defences.items()
        if name not in removed.get(build.name, {})
    }


Cells = dict[tuple[str, str], Cell]


def _outcomes(removals: Sequence[Removal], cells: Cells) -> dict[str, Outcome]:
    """Pairs first: what covers a removal is judged by them."""
    own = {removal.build: _own_outcome(removal, cells) for removal in removals}
    return {
        removal.build: _covered(removal, cells, [own[pair] for pair in removal.covered_in])
        if removal.covered_in
        else own[removal.build]
        for removal in removals
    }


def _own_outcome(removal: Removal, cells: Cells) -> Outcome:
    if not removal.breaks:
        return Outcome.UNCLAIMED
    if _caught_by(removal, cells):
        return Outcome.CAUGHT
    return _undecided(removal.build, removal.breaks, cells) or Outcome.MISSED


def _covered(removal: Removal, cells: Cells, pairs: Sequence[Outcome]) -> Outcome:
    """Each claim that names it holds, and breaks when its cover is removed as well."""
    held = [cells.get((removal.build, claim)) for claim in removal.keeps]
    if any(cell and cell.verdict is Verdict.VIOLATED for cell in held):
        return Outcome.MISSED
    if undecided := _undecided(removal.build, removal.keeps, cells):
        return undecided
    worst = (Outcome.MISSED, Outcome.UNKNOWN, Outcome.NOT_RUN)
    return next((outcome for outcome in worst if outcome in pairs), Outcome.COVERED)


def _undecided(build: str, claims: Sequence[str], cells: Cells) -> Outcome | None:
    places = [cells.get((build, claim)) for claim in claims]
    if None in places:
        return Outcome.NOT_RUN
    decided = {Verdict.HELD, Verdict.VIOLATED}
    return Outcome.UNKNOWN if any(c and c.verdict not in decided for c in places) else None


def _caught_by(removal: Removal, cells: Cells) -> tuple[str, ...]:
    seen = ((claim, cells.get((removal.build, claim))) for claim in removal.breaks)
    return tuple(claim for claim, cell in seen if cell and cell.verdict is Verdict.VIOLATED)


def _claims(removal: Removal) -> tuple[str, ...]:
    return (*removal.breaks, *removal.keeps)


def _short(build: str) -> str:
    """The build without its name: what was removed in it."""
    return build.split(",", maxsplit=1)[-1].replace(",", ", ")
