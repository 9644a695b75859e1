"""The run as one HTML page: no network, no fonts to load, readable without JavaScript."""

from pathlib import Path

from reports.evidence import Evidence
from reports.matrix import cell_anchor, claim_anchor
from reports.page import lay_out_page
from reports.rendering import rendered

HEATS = {"✕": "hit", "✓": "kept", "!": "odd", "?": "doubt"}
"""The class of each place of the table of removals, by what stands in it."""


def render_html(evidence: Evidence, *, folder: Path | None = None) -> str:
    """The page as text. Everything from the evidence is escaped: targets choose part of it.

    `folder` is the run's, as it is to be typed in the commands that show a failure again.
    """
    return rendered(
        "report.html",
        page=lay_out_page(evidence, folder),
        heats=HEATS,
        cell_anchor=cell_anchor,
        claim_anchor=claim_anchor,
    )
