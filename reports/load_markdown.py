"""A load as GitHub-flavoured Markdown: the job summary of a CI run."""

from html import escape

from reports.load import LoadDocument, LoadRun, RequestRow
from reports.load_words import felt_in_words, machine_in_words, missing_money, plan_in_words
from reports.words import duration, moment

SYMBOLS = {"PASS": "✅", "FAIL": "❌", "UNKNOWN": "❔", "N/A": "⚪"}
NOTHING = "-"


def render_load_markdown(document: LoadDocument) -> str:
    verdict = document.verdict.shown
    parts = [f"# {SYMBOLS[verdict]} Assay load: {verdict}", _text(document.conclusion)]
    if document.status != "complete":
        parts.append("> [!WARNING]\n> This load was interrupted. This is what was seen until then.")
    parts.append(_text(plan_in_words(document)))
    took = f"took {duration(document.duration_s)} on {machine_in_words(document)}"
    parts.append(_text(f"Began {moment(document.started_at)}, {took}."))
    for run in document.runs:
        parts += _run(run)
    return "\n\n".join(parts) + "\n"


def _run(run: LoadRun) -> list[str]:
    parts = [f"## {_text(run.build.name)}"]
    if run.partial:
        parts.append("> [!WARNING]\n> The history is partial: operations may be missing from it.")
    parts += [f"**In doubt:** {_text(doubt)}" for doubt in run.doubts]
    if lost := missing_money(run.losses):
        parts.append(f"**In the end:** {_text(lost)}")
    if run.rows:
        parts.append(_figures(run.rows))
    lines = [
        f"- {SYMBOLS[check.verdict.shown]} {_text(check.claim)}"
        + (f": {_text(check.detail)}" if check.detail else "")
        for check in run.checks
    ]
    met = {True: "✅", False: "❌", None: "❔"}
    lines += [f"- {met[t.met]} `{t.text}`: {_text(t.observed)}" for t in run.thresholds]
    lines += [
        f"- {'⚡' if fault.struck else '❔'} `{fault.text}`: {_text(felt_in_words(fault))}"
        for fault in run.faults
    ]
    return [*parts, *(["\n".join(lines)] if lines else [])]


def _figures(rows: tuple[RequestRow, ...]) -> str:
    head = "| request | requests | per second | p50 ms | p95 ms | p99 ms | refused | failures |"
    lines = [head, "|---" + "|---:" * 7 + "|"]
    for row in rows:
        each = row.latencies
        took = " | ".join(_ms(ms) for ms in (each.p50_ms, each.p95_ms, each.p99_ms))
        asked = f"{_text(row.name)} | {row.requests:,} | {row.per_s:.1f}"
        lines.append(f"| {asked} | {took} | {row.refused} | {row.failures} |")
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def _text(text: str) -> str:
    """On one line, and never markup."""
    return escape(" ".join(text.split()), quote=False).replace("|", "\\|")
