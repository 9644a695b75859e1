"""Writes docs/expected-failures.md from the claims: `python -m scenarios.expected_failures`.

What `fragile` is predicted to break and to keep follows from its switches, so it cannot be out of
date; a test compares the file with what this writes.
"""

from pathlib import Path

from engine.defences import as_dict, named_builds, switches
from scenarios.blame import guilty
from scenarios.catalogue import SCENARIOS
from scenarios.model import NAMED_SUITES, Scenario

FILE = Path(__file__).parents[1] / "docs" / "expected-failures.md"

HEAD = """# Expected failures

Generated from the claims by `python -m scenarios.expected_failures`; do not edit.

The build `fragile` is meant to lose money. Each of its weaknesses is code that real services have,
and each claim below says which one breaks it. `assay compare` is green only when every one of these
predictions comes true: a fragile build that stops breaking is as red as a hardened one that breaks.
"""
QUESTIONS = {
    "double spend": "Can money be paid out twice?",
    "read skew": "Isolation: does a reader see one moment?",
    "partial commit": "Atomicity: is a movement whole or nothing?",
    "replay": "Idempotency: does a repeated request have one effect?",
    "deadlock": "Do opposite transfers end?",
    "Redis outage": "Is Redis an optimisation, or can its absence do harm?",
}
KEPT = """## What `fragile` does keep

"""


def document() -> str:
    """The whole page."""
    fragile = as_dict(named_builds()["fragile"].defences)
    broken = [s for s in SCENARIOS if not s.holds_when.holds(fragile) and not s.canary]
    kept = [s for s in SCENARIOS if s.holds_when.holds(fragile)]
    parts = [HEAD]
    for suite in NAMED_SUITES:
        parts.append(f"## {suite[0].upper()}{suite[1:]}\n\n{QUESTIONS[suite]}\n")
        parts += [_claim(s, fragile) for s in broken if s.suite == suite]
        held = [f"`{s.name}`" for s in kept if s.suite == suite]
        if held:
            parts.append(f"Held under `fragile`: {', '.join(held)} (see the end).\n")
    parts.append("## Further claims\n")
    parts += [_claim(s, fragile) for s in broken if s.suite not in NAMED_SUITES]
    parts.append(KEPT + "\n".join(_kept(s) for s in kept) + "\n")
    return "\n".join(parts)


def _claim(scenario: Scenario, values: dict[str, str]) -> str:
    lines = [
        f"### {scenario.name}",
        "",
        f"*{scenario.claim}*",
        "",
        "| | |",
        "|---|---|",
        f"| Status under `fragile` | violated (because {_because(scenario, values)}) |",
        "| Status under `hardened` | held |",
        f"| Description | {scenario.told('Attack')} |",
        f"| Cause | {scenario.told('Why')} {_fragile_code(scenario, values)} |",
        f"| Known as | {scenario.told('Known as')} |",
        f"| Holds when | {scenario.holds_when.text} |",
        f"| Proof | `assay compare --only {scenario.name}`, judged by: {_judges(scenario)} |",
        "",
    ]
    return "\n".join(lines)


def _kept(scenario: Scenario) -> str:
    return (
        f"- **{scenario.name}**: {scenario.claim} {scenario.told('Attack')} "
        f"Proof: `assay compare --only {scenario.name}`."
    )


def _because(scenario: Scenario, values: dict[str, str]) -> str:
    return ", ".join(f"`{name}={values[name]}`" for name in guilty(scenario.holds_when, values))


def _fragile_code(scenario: Scenario, values: dict[str, str]) -> str:
    does = [switches()[name].fragile_does for name in guilty(scenario.holds_when, values)]
    return f"The fragile code {'; it '.join(does)}."


def _judges(scenario: Scenario) -> str:
    names = [getattr(judge, "__qualname__", "").split(".")[0] for judge in scenario.invariants]
    return ", ".join(name.replace("_", " ") for name in names)


if __name__ == "__main__":
    FILE.write_text(document())
