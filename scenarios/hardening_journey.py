"""Writes docs/hardening-journey.md, and the README's table of defences.

`python -m scenarios.hardening_journey`. From the switches and the claims that need them; a test
compares both with what this writes.
"""

from pathlib import Path

from engine.defences import Switch, switches, values_of
from scenarios.defence_stories import STORIES
from scenarios.explaining import proofs, proving

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "hardening-journey.md"
README = ROOT / "README.md"
BEGINS, ENDS = "<!-- the table of defences -->\n", "<!-- the end of the table -->\n"

HEAD = """# From fragile to hardened

Generated from the switches and the claims by `python -m scenarios.hardening_journey`; do not edit.

One section a defence: what goes wrong without it, the code that real services have, what the
hardened code does instead, and the claim that shows the difference. `assay ablate` removes each of
them from `hardened` in turn; it is green only when a claim catches every removal. Where a second
defence covers for one that is removed, both are removed together.
"""


def readme() -> str:
    """The README with its table as it has to be."""
    before, _, rest = README.read_text().partition(BEGINS)
    _, _, after = rest.partition(ENDS)
    table = ["| defence | vulnerability | fragile code | hardened code | technique | proved by |"]
    table += ["|---|---|---|---|---|---|"]
    table += [_told(name, switch) for name, switch in _defences().items()]
    return "".join([before, BEGINS, *(f"{row}\n" for row in table), ENDS, after])


def _told(name: str, switch: Switch) -> str:
    story = STORIES[name]
    cells = (
        f"[{name}](docs/hardening-journey.md#{name})",
        story.vulnerability,
        switch.fragile_does,
        switch.hardened_does,
        story.technique.rstrip("."),
        ", ".join(proving(name)),
    )
    return f"| {' | '.join(cells)} |"


def _defences() -> dict[str, Switch]:
    return {name: switch for name, switch in switches().items() if switch.fragile_count}


def document() -> str:
    """The whole page."""
    defences = _defences()
    table = ["| defence | fragile | hardened |", "|---|---|---|"]
    table += [_row(name, switch) for name, switch in defences.items()]
    sections = [_section(name, switch) for name, switch in defences.items()]
    return "\n".join([HEAD, *table, "", *sections])


def _row(name: str, switch: Switch) -> str:
    fragile, hardened = _values(name, switch)
    return f"| [{name}](#{name}) | {fragile} | {hardened} |"


def _section(name: str, switch: Switch) -> str:
    story = STORIES[name]
    fragile, hardened = _values(name, switch)
    lines = [
        f"## {name}",
        "",
        story.prevents,
        "",
        f"- **Fragile** ({fragile}): {switch.fragile_does}.",
        f"- **Hardened** ({hardened}): {switch.hardened_does}.",
        f"- **Technique**: {story.technique}",
        f"- **In SQL**: {story.in_sql}",
        *(f"- **Proof**: {proof}." for proof in proofs(name)),
        f"- **See it**: `assay ablate --only {name}`",
        "",
    ]
    return "\n".join(lines)


def _values(name: str, switch: Switch) -> tuple[str, str]:
    values = [f"`{value}`" for value in values_of(name)]
    return " · ".join(values[: switch.fragile_count]), " · ".join(values[switch.fragile_count :])


if __name__ == "__main__":
    FILE.write_text(document())
    README.write_text(readme())
