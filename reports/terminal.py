"""A cell as text: the argument that a failure makes, for the terminal, Markdown and JUnit.

The result is plain text: whoever prints it may colour it.
"""

import textwrap
from pathlib import Path

from reports.drawing import INDENT, MARGIN, drawing, printable
from reports.evidence import Cell, Evidence, Finding, Verdict
from reports.search_text import fault_blocks, schedule_block, search_block, shown_exploration
from reports.timeline import lay_out
from reports.words import listing, prediction_in_words, replay_command, strength_in_brief


def render_text(
    evidence: Evidence, cell: Cell, *, width: int = 100, folder: Path | None = None
) -> str:
    """The cell as a block of lines, without a final newline.

    `folder` is the run's, as it is to be typed; without one it is the usual place of this run.
    """
    drawn = schedule_block(cell, width)
    if not drawn:
        drawn = drawing(lay_out(cell.timeline), cell.timeline_round, width)
    blocks = [_head(evidence, cell, width), drawn, _argument(cell, width)]
    blocks += [search_block(cell, width), *fault_blocks(cell, width)]
    blocks += [_footer(evidence, cell, width, folder)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _head(evidence: Evidence, cell: Cell, width: int) -> list[str]:
    claim = next((claim.claim for claim in evidence.claims if claim.name == cell.scenario), "")
    name = f"{cell.scenario}   " if len(cell.scenario) < 24 else f"{cell.scenario}: "
    word = "N/A" if cell.verdict is Verdict.NOT_APPLICABLE else cell.verdict.value.upper()
    head = f"{word:<{INDENT}}{name}{claim}"
    level = next((b.isolation_level for b in evidence.builds if b.name == cell.build), "")
    database = f"PostgreSQL {evidence.environment.postgres.version}"
    where = [cell.build, f"{database}, {level}" if level else database, strength_in_brief(cell)]
    lines = _wrap(head, width, hanging=True) + _wrap(" · ".join(where), width)
    return lines if cell.as_predicted else [*lines, *_wrap(prediction_in_words(cell), width)]


def _argument(cell: Cell, width: int) -> list[str]:
    lines = _wrap(cell.cause, width)
    for reason in cell.reasons:
        if reason != cell.cause:
            lines += _wrap(reason, width)
    first = cell.findings[0] if cell.findings else None
    return lines + (_contradiction(first, cell, width) if first else [])


def _contradiction(finding: Finding, cell: Cell, width: int) -> list[str]:
    lines = [] if finding.summary == cell.cause else _wrap(finding.summary, width)
    more = len(cell.findings) - 1
    where = finding.invariant if not more else f"{finding.invariant}; {more} more in the report"
    return [
        *lines,
        "",
        *_labelled("Expected", finding.expected, width),
        *_labelled("Observed", f"{finding.observed}   ({where})", width),
    ]


def _footer(evidence: Evidence, cell: Cell, width: int, folder: Path | None) -> list[str]:
    # A command is never wrapped: it is there to be copied.
    lines = []
    shown = shown_exploration(cell)
    if shown and (replay := replay_command(evidence.run, shown[0], folder)):
        times = f"   (reproduced {shown[0].reproduced})" if shown[0].reproduced else ""
        lines.append(printable(f"{'Replay':<{INDENT}}{replay}{times}"))
    label = "Replay" if cell.reproduce.startswith("assay replay") else "Again"
    lines.append(f"{label:<{INDENT}}{printable(cell.reproduce)}")
    if cell.switches and cell.verdict is Verdict.VIOLATED:
        condition = next((c.holds_when for c in evidence.claims if c.name == cell.scenario), "")
        text = listing(cell.switches.items())
        lines += _labelled(
            "Defence", f"{text}; holds with {condition}" if condition else text, width
        )
    return lines


def _labelled(label: str, text: str, width: int) -> list[str]:
    return _wrap(f"{label:<{INDENT}}{text}", width, hanging=True)


def _wrap(text: str, width: int, *, hanging: bool = False) -> list[str]:
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent="" if hanging else MARGIN,
        subsequent_indent=MARGIN,
        drop_whitespace=True,
        break_on_hyphens=False,
    )
