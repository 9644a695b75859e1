"""The run as JUnit XML: a suite for each build, a test case for each claim.

A case fails exactly when the cell fails the run (see `judgement`), so that a CI that reads this
file and a CI that reads the exit code agree.
"""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from reports.ablation import BAD, OPEN, Row, ablation_table
from reports.evidence import Build, Cell, Claim, Evidence
from reports.judgement import Judgement, judge
from reports.terminal import render_text
from reports.words import prediction_in_words

DID_NOT_RUN = "did not run: the run ended before it"


def render_junit(evidence: Evidence, *, folder: Path | None = None) -> str:
    """`folder` is the run's, as it is to be typed in the commands that show a failure again."""
    root = ET.Element("testsuites", name=legal(f"assay {evidence.run}"))
    for build in evidence.builds:
        root.append(_suite(evidence, build, folder))
    if table := ablation_table(evidence):
        root.append(_removals(table.rows))
    _sum_up(root, list(root))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(evidence: Evidence, build: Build, folder: Path | None) -> ET.Element:
    started = evidence.started_at.isoformat(timespec="seconds")
    suite = ET.Element("testsuite", name=legal(build.name), timestamp=started)
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(evidence, build).items():
        ET.SubElement(properties, "property", name=legal(name), value=legal(value))
    cells = {cell.scenario: cell for cell in evidence.cells if cell.build == build.name}
    for claim in evidence.claims:
        if claim.name in cells:
            suite.append(_case(evidence, claim, cells[claim.name], folder))
        elif evidence.status != "complete":
            suite.append(_missing_case(claim))
    _count(suite)
    return suite


def _removals(rows: Sequence[Row]) -> ET.Element:
    """A case for each removed defence: the cells alone do not say that nothing caught it."""
    suite = ET.Element("testsuite", name="ablation")
    for row in rows:
        case = ET.SubElement(suite, "testcase", name=legal(row.title), classname="ablation")
        if row.outcome in BAD | OPEN:
            tag = "failure" if row.outcome in BAD else "error"
            ET.SubElement(case, tag, message=legal(row.because), type=row.outcome.value)
    _count(suite)
    return suite


def _properties(evidence: Evidence, build: Build) -> dict[str, str]:
    switches = {f"switch.{name}": value for name, value in sorted(build.defences.items())}
    return {"command": evidence.command, "seed": str(evidence.seed), **switches}


def _case(evidence: Evidence, claim: Claim, cell: Cell, folder: Path | None) -> ET.Element:
    case = _named_case(claim, cell.duration_s)
    judgement = judge(evidence, cell)
    text = legal(render_text(evidence, cell, folder=folder))
    if judgement is Judgement.PASSED:
        ET.SubElement(case, "system-out").text = text
        return case
    tag = {Judgement.FAILED: "failure", Judgement.UNDECIDED: "error"}.get(judgement, "skipped")
    message = cell.cause if cell.as_predicted else f"{cell.cause} ({prediction_in_words(cell)})"
    child = ET.SubElement(case, tag, message=legal(message))
    if tag != "skipped":
        child.set("type", cell.verdict.value)
        child.text = text
    return case


def _missing_case(claim: Claim) -> ET.Element:
    case = _named_case(claim, 0.0)
    ET.SubElement(case, "error", message=DID_NOT_RUN, type="not run")
    return case


def _named_case(claim: Claim, duration_s: float) -> ET.Element:
    group = "canary" if claim.canary else claim.suite
    time = f"{duration_s:.3f}"
    return ET.Element("testcase", name=legal(claim.name), classname=legal(group), time=time)


def _count(suite: ET.Element) -> None:
    cases = suite.findall("testcase")
    tags = Counter(child.tag for case in cases for child in case)
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(tags["failure"]))
    suite.set("errors", str(tags["error"]))
    suite.set("skipped", str(tags["skipped"]))
    suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")


def _sum_up(root: ET.Element, suites: list[ET.Element]) -> None:
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, 0)) for suite in suites)))
    root.set("time", f"{sum(float(suite.get('time', 0)) for suite in suites):.3f}")


def legal(text: str) -> str:
    """Without the characters that XML 1.0 forbids: a document with one of them is not read."""
    return "".join(char if _islegal(ord(char)) else "\N{REPLACEMENT CHARACTER}" for char in text)


def _islegal(code: int) -> bool:
    return (
        code in {0x9, 0xA, 0xD}
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )
