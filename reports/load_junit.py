"""A load as JUnit: a suite for each build, a case for each check, threshold and fault."""

import xml.etree.ElementTree as ET

from reports.evidence import Verdict
from reports.junit import legal
from reports.load import FaultStruck, LoadDocument, LoadRun
from reports.load_words import felt_in_words

TAGS = {
    Verdict.VIOLATED: "failure",
    Verdict.UNKNOWN: "error",
    Verdict.NOT_APPLICABLE: "skipped",
}
Case = tuple[str, str, Verdict, str]
"""Class, name, verdict, and what there is to say."""


def render_load_junit(document: LoadDocument) -> str:
    """The build that is compared with is expected to be violated: there that is a pass."""
    root = ET.Element("testsuites", name="assay load")
    for number, run in enumerate(document.runs):
        cases = [_compared(run)] if number else _cases(run)
        suite = ET.SubElement(root, "testsuite", name=legal(f"load {run.build.name}"))
        for case in cases:
            _add(suite, case)
        _count(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _cases(run: LoadRun) -> list[Case]:
    cases: list[Case] = [("audit", c.claim, c.verdict, c.detail) for c in run.checks]
    met = {True: Verdict.HELD, False: Verdict.VIOLATED, None: Verdict.UNKNOWN}
    cases += [("thresholds", t.text, met[t.met], t.observed) for t in run.thresholds]
    cases += [("faults", f.text, _recovered(f), felt_in_words(f)) for f in run.faults]
    whole = Verdict.UNKNOWN if run.doubts else Verdict.HELD
    return [*cases, ("audit", "nothing is in doubt", whole, "; ".join(run.doubts))]


def _recovered(fault: FaultStruck) -> Verdict:
    return Verdict.UNKNOWN if fault.is_not_back or not fault.struck else Verdict.HELD


def _compared(run: LoadRun) -> Case:
    lost = run.verdict is Verdict.VIOLATED
    violated = "; ".join(c.detail for c in run.checks if c.verdict is Verdict.VIOLATED)
    said = violated or "; ".join(run.doubts) or "it happened to lose nothing"
    return ("comparison", "loses money", Verdict.HELD if lost else Verdict.UNKNOWN, said)


def _add(suite: ET.Element, case: Case) -> None:
    group, name, verdict, text = case
    element = ET.SubElement(suite, "testcase", name=legal(name), classname=group)
    if verdict is Verdict.HELD:
        if text:
            ET.SubElement(element, "system-out").text = legal(text)
        return
    child = ET.SubElement(element, TAGS[verdict], message=legal(text))
    if verdict is not Verdict.NOT_APPLICABLE:
        child.set("type", verdict.value)


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite)))
    names = {"failure": "failures", "error": "errors", "skipped": "skipped"}
    for tag, attribute in names.items():
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
