"""What a cell means for the run: good, bad or undecided. JUnit and exit code agree through it.

A `compare` run is judged by its predictions, a `verify` run by its verdicts. A canary is judged
by its prediction in both: it must be violated, or the harness is blind. An `ablate` run is judged
by its predictions, and by what became of each removed defence.
"""

from enum import StrEnum

from reports.ablation import BAD, OPEN, ablation_table
from reports.evidence import Cell, Evidence, Verdict


class Judgement(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    SKIPPED = "skipped"


def judge(evidence: Evidence, cell: Cell) -> Judgement:
    """How one cell counts. An unknown never passes, unless exactly that was predicted."""
    by_prediction = evidence.judged_by == "prediction" or is_canary(evidence, cell.scenario)
    if cell.verdict is Verdict.NOT_APPLICABLE and (cell.as_predicted or not by_prediction):
        return Judgement.SKIPPED
    if by_prediction and cell.as_predicted:
        return Judgement.PASSED
    if cell.verdict is Verdict.UNKNOWN:
        return Judgement.UNDECIDED
    failed = by_prediction or cell.verdict is Verdict.VIOLATED
    return Judgement.FAILED if failed else Judgement.PASSED


def is_canary(evidence: Evidence, scenario: str) -> bool:
    return any(claim.canary for claim in evidence.claims if claim.name == scenario)


def exit_code(evidence: Evidence) -> int:
    """0 all good, 1 violated or mispredicted (before unknown), 3 unknown; also 3 with no cell.

    A removed defence that nothing catches is 1, too.
    """
    judged = {judge(evidence, cell) for cell in evidence.cells}
    table = ablation_table(evidence)
    outcomes = {row.outcome for row in table.rows} if table else set()
    if Judgement.FAILED in judged or outcomes & BAD:
        return 1
    if outcomes & OPEN:
        return 3
    return 3 if Judgement.UNDECIDED in judged or not judged - {Judgement.SKIPPED} else 0


def needs_attention(evidence: Evidence) -> tuple[Cell, ...]:
    """The cells that fail the run or leave it undecided, failures first."""
    failed = [cell for cell in evidence.cells if judge(evidence, cell) is Judgement.FAILED]
    open_ = [cell for cell in evidence.cells if judge(evidence, cell) is Judgement.UNDECIDED]
    return (*failed, *open_)
