"""The run as GitHub-flavoured Markdown: the job summary of a CI run."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from reports.ablation import Row, Table, ablation_table
from reports.evidence import Cell, Evidence, Exploration, Verdict
from reports.judgement import is_canary, needs_attention
from reports.matrix import BUILDS_WITH_ROOM, Entry, Group, Line, matrix
from reports.search_text import shown_exploration
from reports.sql_drawing import sql_drawing
from reports.sql_timeline import lay_out_sql
from reports.terminal import render_text
from reports.words import count, duration, exit_code_in_words, headline, moment

# GitHub refuses a job summary above 1 MiB; these bounds stay far below it.
BLOCKS_SHOWN = 30
SEARCHES_SHOWN = 60
FORESEEN = " <sub>as predicted</sub>"
SYMBOLS = {"PASS": "✅", "FAIL": "❌", "UNKNOWN": "❔", "N/A": "⚪", "not run": "·"}


def render_markdown(evidence: Evidence, *, folder: Path | None = None) -> str:
    """`folder` is the run's, as it is to be typed in the commands that show a failure again."""
    result = headline(evidence)
    parts = [f"# Assay: {_text(result.title)}", _text(result.detail), *_banner(evidence)]
    table = ablation_table(evidence)
    grid = ["## What each defence is for", *_ablation(table)] if table else []
    parts += [_facts(evidence), *(grid or ["## The matrix", _matrix(evidence)])]
    parts += _searches(evidence)
    shown = needs_attention(evidence)[:BLOCKS_SHOWN]
    if shown:
        parts += ["## What needs your eyes", *_blocks(evidence, shown, folder)]
    expected = [cell for cell in _violated(evidence) if cell not in shown]
    room = BLOCKS_SHOWN - len(shown)
    if expected[:room]:
        parts += ["## Violations that were predicted", *_blocks(evidence, expected[:room], folder)]
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
    table = "\n".join(lines)
    if len(evidence.builds) <= BUILDS_WITH_ROOM:
        return table
    # Only what is odd is marked: five columns of remarks fit no screen.
    return f"{table.replace(FORESEEN, '')}\n\nWhat is not marked came out as predicted."


def _ablation(table: Table) -> list[str]:
    """Claims across by number: their names would make a table that nobody can read."""
    numbers = [str(number) for number in range(1, len(table.claims) + 1)]
    lines = [
        f"| {' | '.join(['Removed from hardened', 'What came of it', *numbers])} |",
        f"|---|---|{':-:|' * len(numbers)}",
        *(_removal(row) for row in table.rows),
    ]
    names = [f"**{n}** {_text(name)}" for n, name in zip(numbers, table.claims, strict=True)]
    signs = "✕ violated, and so caught; ✓ held, as predicted; ! not as predicted; ? unknown"
    return ["\n".join(lines), f"{', '.join(names)}. {signs}."]


def _removal(row: Row) -> str:
    signs = [place.symbol for place in row.places]
    return f"| {' | '.join([_code(row.title), _text(row.because), *signs])} |"


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
    return f"{shown}{FORESEEN if entry.as_predicted else ' <sub>**NOT as predicted**</sub>'}"


def _searches(evidence: Evidence) -> list[str]:
    """A line for each search, so that a pass is seen to have been earned."""
    searches = [(cell, race) for cell in evidence.cells for race in cell.explorations]
    if not searches:
        return []
    lines = [
        "| Claim | Build | Race | Tried | Skipped as equivalent | Uncontrolled | Violated | |",
        "|---|---|---|--:|--:|--:|--:|---|",
    ]
    lines += [_search(cell, race) for cell, race in searches[:SEARCHES_SHOWN]]
    parts = ["## Orders that were tried", "\n".join(lines)]
    if len(searches) > SEARCHES_SHOWN:
        parts.append(f"…and {len(searches) - SEARCHES_SHOWN} more in `report.html`.")
    return parts


def _search(cell: Cell, race: Exploration) -> str:
    bound = race.preemption_bound
    how = "exhausted" if race.exhausted else "" if bound is None else f"preemptions ≤ {bound}"
    numbers = (race.explored, race.pruned, race.uncontrolled, race.violated)
    texts = (cell.scenario, cell.build, race.race, *map(str, numbers), how)
    return f"| {' | '.join(_text(text) for text in texts)} |"


def _blocks(evidence: Evidence, cells: Sequence[Cell], folder: Path | None) -> list[str]:
    return [_block(evidence, cell, folder) for cell in cells]


def _block(evidence: Evidence, cell: Cell, folder: Path | None) -> str:
    title = f"<b>{_html(cell.scenario)}</b> · {_html(cell.build)} · {cell.verdict.shown}"
    text = _fenced(render_text(evidence, cell, folder=folder))
    return _folded(f"{title}: {_html(cell.cause)}", f"{text}{_serial(cell)}")


def _serial(cell: Cell) -> str:
    """The serial order in full, for comparison with the losing one above it."""
    shown = shown_exploration(cell)
    if shown is None or not (shown[0].losing and shown[0].serial):
        return ""
    text = "\n".join(sql_drawing(lay_out_sql(shown[0].serial)))
    return f"\n\n{_folded('For comparison: one request after the other', _fenced(text))}"


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


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
