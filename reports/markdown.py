"""The run as GitHub-flavoured Markdown: the job summary of a CI run."""

import re
from html import escape

from reports.evidence import Cell, Evidence, Verdict
from reports.judgement import is_canary, needs_attention
from reports.matrix import Entry, Group, Line, matrix
from reports.terminal import render_text
from reports.words import count, duration, exit_code_in_words, headline, moment

# GitHub refuses a job summary above 1 MiB; these bounds stay far below it.
BLOCKS_SHOWN = 30
SYMBOLS = {"PASS": "✅", "FAIL": "❌", "UNKNOWN": "❔", "N/A": "⚪", "not run": "·"}


def render_markdown(evidence: Evidence) -> str:
    result = headline(evidence)
    parts = [f"# Assay: {_text(result.title)}", _text(result.detail), *_banner(evidence)]
    parts += [_facts(evidence), "## The matrix", _matrix(evidence)]
    shown = needs_attention(evidence)[:BLOCKS_SHOWN]
    if shown:
        parts += ["## What needs your eyes", *_blocks(evidence, shown)]
    expected = [cell for cell in _violated(evidence) if cell not in shown]
    room = BLOCKS_SHOWN - len(shown)
    if expected[:room]:
        parts += ["## Violations that were predicted", *_blocks(evidence, expected[:room])]
    if len(expected) > room:
        parts.append(f"…and {count(len(expected) - room, 'more violation')} in `report.html`.")
    return "\n\n".join(parts) + "\n"


def _violated(evidence: Evidence) -> list[Cell]:
    cells = [cell for cell in evidence.cells if cell.verdict is Verdict.VIOLATED]
    return [cell for cell in cells if not is_canary(evidence, cell.scenario)]


def _banner(evidence: Evidence) -> list[str]:
    if evidence.status == "complete":
        return []
    word = "was interrupted" if evidence.status == "interrupted" else "is not finished"
    return [f"> [!WARNING]\n> This run {word}. What follows is what it saw until then."]


def _facts(evidence: Evidence) -> str:
    environment = evidence.environment
    facts = {
        "Run": f"{_code(evidence.run)}, {evidence.status}, {duration(evidence.duration_s)}",
        "Started": _text(moment(evidence.started_at)),
        "Command": _code(evidence.command),
        "Exit code": _text(exit_code_in_words(evidence)),
        "Seed": _code(str(evidence.seed)),
        "Target": _text(evidence.target),
        "Stores": _text(
            f"PostgreSQL {environment.postgres.version} ({environment.postgres.kind}), "
            f"Redis {environment.redis.version} ({environment.redis.kind})"
        ),
        "Commit": _code(environment.commit) if environment.commit else "none",
    }
    rows = [f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _matrix(evidence: Evidence) -> str:
    head = " | ".join(_text(build.name) for build in evidence.builds)
    rule = "|---" * (len(evidence.builds) + 1)
    lines = [f"| | {head} |", f"{rule}|"]
    for group in matrix(evidence):
        lines += _group(group)
    return "\n".join(lines)


def _group(group: Group) -> list[str]:
    if group.kind == "canary":
        return [_row(f"{_text(line.title)} (must fail)", line) for line in group.lines]
    claims = [_row(f"&nbsp;&nbsp;&nbsp;{_text(line.title)}", line) for line in group.lines]
    return [_row(f"**{_text(group.suite.title)}**", group.suite), *claims]


def _row(title: str, line: Line) -> str:
    return f"| {title} | {' | '.join(_entry(entry) for entry in line.entries)} |"


def _entry(entry: Entry) -> str:
    shown = f"{SYMBOLS[entry.shown]} {entry.shown}"
    if entry.verdict is None:
        return shown
    marker = "as predicted" if entry.as_predicted else "**NOT as predicted**"
    return f"{shown} <sub>{marker}</sub>"


def _blocks(evidence: Evidence, cells: tuple[Cell, ...] | list[Cell]) -> list[str]:
    return [_block(evidence, cell) for cell in cells]


def _block(evidence: Evidence, cell: Cell) -> str:
    title = f"<b>{_html(cell.scenario)}</b> · {_html(cell.build)} · {cell.verdict.shown}"
    summary = f"<summary>{title}: {_html(cell.cause)}</summary>"
    return f"<details>{summary}\n\n{_fenced(render_text(evidence, cell))}\n\n</details>"


def _html(text: str) -> str:
    return escape(_one_line(text))


def _text(text: str) -> str:
    """Text that means itself: no pipe ends a table's cell, no asterisk makes it bold."""
    return re.sub(r"([\\`*_{}\[\]<>|~#&])", r"\\\1", _one_line(text))


def _code(text: str) -> str:
    """A code span that may hold backticks, and pipes inside a table."""
    text = _one_line(text).replace("|", "\\|")
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _fenced(text: str) -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def _one_line(text: str) -> str:
    return " ".join(text.split())
