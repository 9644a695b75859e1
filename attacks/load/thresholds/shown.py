"""Results as people and build servers read them: a table of plain text, and JUnit XML."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from .expressions import SHARES
from .judging import Result, Verdict

NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
HEADINGS = ("threshold", "measured", "verdict")


def measured(result: Result) -> str:
    """The value with its unit, or why there is none."""
    if result.value is None:
        return result.reason
    threshold = result.threshold
    if threshold.metric in SHARES:
        return f"{result.value * 100:.4g} %"
    return f"{result.value:.6g} ms" if threshold.is_time else f"{result.value:.6g}"


def table(results: Sequence[Result]) -> str:
    """A line each, in columns; nothing for no results."""
    if not results:
        return ""
    rows = [HEADINGS]
    rows += [(r.threshold.text, measured(r), r.verdict.upper()) for r in results]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def junit(results: Sequence[Result], *, suite: str = "thresholds") -> str:
    """A test case each: failed ones with what was measured, unknown ones as errors."""
    failed = sum(result.verdict is Verdict.FAILED for result in results)
    unknown = sum(result.verdict is Verdict.UNKNOWN for result in results)
    root = ET.Element("testsuites")
    counts = {"tests": len(results), "failures": failed, "errors": unknown}
    cases = ET.SubElement(
        root, "testsuite", {"name": suite, **{name: str(n) for name, n in counts.items()}}
    )
    for result in results:
        name = NOT_XML.sub("?", result.threshold.text)
        case = ET.SubElement(cases, "testcase", {"classname": suite, "name": name})
        if result.verdict is Verdict.FAILED:
            ET.SubElement(case, "failure", {"message": f"{name}: measured {measured(result)}"})
        elif result.verdict is Verdict.UNKNOWN:
            why = NOT_XML.sub("?", f"{name}: unknown, {measured(result)}")
            ET.SubElement(case, "error", {"message": why})
        else:
            ET.SubElement(case, "system-out").text = f"measured {measured(result)}"
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'
